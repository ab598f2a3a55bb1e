//! The mail about it.

use anyhow::Result;

use super::story::{Story, Who};
use crate::lab::{Lab, SCANNER};

/// A mail about the scanner has arrived, with what OSSEC's mail said.
///
/// # Errors
/// Where none arrives.
pub fn admin_is_told(lab: &Lab, story: &mut Story) -> Result<()> {
    let address = SCANNER.v4.to_string();
    let mail = lab.mailbox.wait_for(&[&address, "300011"])?;
    story.tell(Who::Guest("admin"), "finds this mail, delivered by Postfix:");
    story.quote(&mail);
    let said = ["Subject: ", "Message-ID: ", "Possible Nmap User-Agent"];
    story.claim(
        format!("the admin got a mail about {address}, with rule, level and log line"),
        said.iter().all(|word| mail.to_lowercase().contains(&word.to_lowercase())),
    );
    Ok(())
}
