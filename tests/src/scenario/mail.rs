//! The mail about it.

use std::fmt::Write as _;

use anyhow::Result;

use super::scan::TARGET;
use super::story::{Story, Who};
use crate::lab::{Lab, SERVER};

/// A mail about the scanner's ban has arrived, with what OSSEC's mail said.
///
/// # Errors
/// Where none arrives.
pub fn admin_is_told(lab: &Lab, story: &mut Story) -> Result<()> {
    let wanted = format!("{TARGET} banned for ");
    let mail = lab.mailbox.wait_for(&format!("that says `{wanted}`"), |mail| {
        mail.header("Subject").contains(&wanted)
    })?;
    story.tell(Who::Guest("admin"), "finds this mail, delivered by Postfix");
    let mut shown = String::new();
    for (name, value) in &mail.headers {
        writeln!(shown, "{name}: {value}")?;
    }
    writeln!(shown, "\n{}", mail.text)?;
    story.quote(&shown);
    let all = ["300011", "level 10", "ET SCAN Possible Nmap User-Agent Observed", "eve.json"];
    // eve.json's line, as fast.log has it.
    let log_line = format!(" -> {}:", SERVER.v4);
    story.claim(
        format!("the admin got a mail about {TARGET}: rule, level, offender, log line"),
        all.iter().all(|word| mail.text.contains(word))
            && mail.text.contains(&log_line)
            && !mail.header("Message-ID").is_empty(),
    );
    Ok(())
}
