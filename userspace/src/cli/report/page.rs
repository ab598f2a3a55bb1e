//! The page itself.

use super::chart::{Part, draw};
use super::html::Html;
use super::ledger::{Ledger, Offender, RuleSum};
use crate::cli::table;
use crate::control::ListedBan;
use crate::event::{Target, Timestamp};
use crate::rules::Packs;
use crate::store::MadeMail;

/// Rows of each table; the rest is told as a number.
const OFFENDERS: usize = 25;
const NETWORKS: usize = 15;
const RULES: usize = 30;
const STANDING: usize = 100;
const MAILS: usize = 30;

/// How times are written.
const TIME: &str = "%-d %b, %H:%M";

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
    <meta name=\"color-scheme\" content=\"light dark\">\n\
    <meta name=\"referrer\" content=\"no-referrer\">\n\
    <meta name=\"robots\" content=\"noindex\">\n\
    <meta name=\"format-detection\" content=\"telephone=no, address=no, date=no\">\n<style>\n";

/// What the page tells beside the history.
pub(super) struct Surroundings {
    pub(super) host: String,
    /// When the first thing happened that is remembered.
    pub(super) begins: Option<Timestamp>,
    /// Newest first.
    pub(super) mails: Vec<MadeMail>,
    /// The last lines about those that came.
    pub(super) quotes: Vec<(Target, Vec<String>)>,
    /// The bans that stand, or why that can't be told.
    pub(super) standing: Result<Vec<ListedBan>, String>,
    /// What rules mean.
    pub(super) packs: Option<Packs>,
}

/// Writes it.
pub(super) fn write(ledger: &Ledger, around: &Surroundings) -> String {
    let mut html = Html::default();
    html.markup(HEAD).markup(include_str!("style.css")).markup("</style>\n<title>");
    html.text(&format!("{}: the last {}", around.host, ledger.span().name));
    html.markup("</title>\n</head>\n<body>\n<main>\n");
    head(&mut html, ledger, around);
    if ledger.alerts() + ledger.bans() + ledger.packets() > 0 {
        charts(&mut html, ledger);
    }
    offenders(&mut html, ledger, around);
    networks(&mut html, ledger);
    rules(&mut html, ledger, around);
    withheld(&mut html, ledger);
    standing(&mut html, ledger, around);
    mails(&mut html, ledger, around);
    foot(&mut html, ledger);
    html.markup("</main>\n</body>\n</html>\n");
    html.into_page()
}

fn head(html: &mut Html, ledger: &Ledger, around: &Surroundings) {
    let span = ledger.span();
    let (from, _) = span.bounds();
    html.markup("<header>\n<p>Ravelin, the last ").text(span.name).markup("</p>\n<h1>");
    html.text(&around.host).markup("</h1>\n<p>");
    html.text(&span.local(from, "%-d %B %Y, %H:%M")).markup(" to ");
    html.text(&span.local(span.now, "%-d %B %Y, %H:%M %Z")).markup("</p>\n</header>\n");
    let offenders = ledger.offenders();
    let banned = offenders.iter().filter(|offender| offender.bans > 0).count() as u64;
    html.markup("<p class=\"lead\">");
    if ledger.alerts() + ledger.bans() == 0 {
        html.markup("Nothing happened that was worth an alert of level 7 or above.");
    } else {
        html.text(&counted(offenders.len() as u64, "address or network", "addresses and networks"));
        html.markup(" came, of which ").count(banned).markup(" were banned, ");
        html.text(&counted(ledger.bans(), "time", "times")).markup(" in all. ");
        html.text(&counted(ledger.packets(), "packet", "packets")).markup(" of theirs ");
        html.markup(if ledger.packets() == 1 { "was dropped." } else { "were dropped." });
    }
    if let Some(begins) = around.begins.filter(|begins| *begins > from) {
        html.markup(" <small>(The history begins ")
            .text(&span.local(begins, TIME))
            .markup(".)</small>");
    }
    html.markup("</p>\n<div class=\"tiles\">");
    let stands = around.standing.as_ref().map_or(0, |bans| bans.len() as u64);
    for (what, text) in [
        ("alerts", table::grouped(ledger.alerts())),
        ("addresses", table::grouped(offenders.len() as u64)),
        ("bans", table::grouped(ledger.bans())),
        ("packets dropped", table::grouped(ledger.packets())),
        ("dropped", table::bytes(ledger.bytes)),
        ("still banned", table::grouped(stands)),
    ] {
        html.markup("<div><b>").text(&text).markup("</b><span>").text(what).markup("</span></div>");
    }
    html.markup("</div>\n");
}

fn charts(html: &mut Html, ledger: &Ledger) {
    let span = ledger.span();
    let buckets = &ledger.buckets;
    let alerts = [
        Part { class: "high", name: "level 12 and above", value: |it| it.alerts[2] },
        Part { class: "mid", name: "9 to 11", value: |it| it.alerts[1] },
        Part { class: "low", name: "7 and 8", value: |it| it.alerts[0] },
    ];
    draw(html, "Alerts", &alerts, buckets, span);
    draw(html, "Bans", &[Part { class: "ban", name: "bans", value: |it| it.bans }], buckets, span);
    let dropped = [Part { class: "drop", name: "packets", value: |it| it.packets }];
    draw(html, "Packets dropped", &dropped, buckets, span);
}

/// A heading, and how many of how many are shown.
fn heading(html: &mut Html, title: &'static str, shown: usize, all: usize) {
    html.markup("<h2>").text(title);
    if all > shown {
        html.markup("<small>")
            .count(shown as u64)
            .markup(" of ")
            .count(all as u64)
            .markup("</small>");
    } else if all > 0 {
        html.markup("<small>").count(all as u64).markup("</small>");
    }
    html.markup("</h2>\n<div class=\"card\">");
}

fn table(html: &mut Html, columns: &[(&'static str, bool)]) {
    html.markup("<table><thead><tr>");
    for (column, number) in columns {
        html.markup(if *number { "<th class=\"n\">" } else { "<th>" }).text(column).markup("</th>");
    }
    html.markup("</tr></thead><tbody>\n");
}

fn number(html: &mut Html, label: &'static str, count: u64) {
    html.markup("<td class=\"n\" data-l=\"")
        .markup(label)
        .markup("\">")
        .count(count)
        .markup("</td>");
}

fn words(html: &mut Html, label: &'static str, text: &str) {
    html.markup("<td class=\"w\" data-l=\"").markup(label).markup("\">").text(text).markup("</td>");
}

fn level(html: &mut Html, level: u8) {
    html.markup(match level {
        12.. => "<span class=\"l high\">",
        9..12 => "<span class=\"l mid\">",
        _ => "<span class=\"l\">",
    });
    html.count(level.into()).markup("</span>");
}

fn offenders(html: &mut Html, ledger: &Ledger, around: &Surroundings) {
    let all = ledger.offenders();
    let shown = &all[..all.len().min(OFFENDERS)];
    heading(html, "Who came", shown.len(), all.len());
    if shown.is_empty() {
        html.markup("<p class=\"none\">Nobody.</p></div>\n");
        return;
    }
    table(
        html,
        &[
            ("address", false),
            ("by what", false),
            ("alerts", true),
            ("bans", true),
            ("dropped", true),
            ("last", false),
        ],
    );
    for offender in shown {
        let Offender { target, alerts, bans, packets, level: worst, last, reason, rule } = offender;
        html.markup("<tr><td class=\"t\">")
            .text(&target.to_string())
            .markup("</td><td class=\"s\">");
        let quote = around.quotes.iter().find(|(quoted, _)| quoted == target);
        let quote = quote.map_or(&[][..], |(_, lines)| lines.as_slice());
        html.markup(if quote.is_empty() { "" } else { "<details><summary>" });
        level(html, *worst);
        html.markup(" ").text(reason);
        if let Some(rule) = rule {
            html.markup(" <small>").text(&rule.to_string()).markup("</small>");
        }
        if !quote.is_empty() {
            html.markup("</summary><pre>");
            for line in quote {
                html.text(line).markup("\n");
            }
            html.markup("</pre></details>");
        }
        html.markup("</td>");
        number(html, "alerts", *alerts);
        number(html, "bans", *bans);
        number(html, "dropped", *packets);
        words(html, "last", &ledger.span().local(*last, TIME));
        html.markup("</tr>\n");
    }
    html.markup("</tbody></table></div>\n");
}

fn networks(html: &mut Html, ledger: &Ledger) {
    let all = ledger.networks();
    if all.is_empty() {
        return;
    }
    let shown = &all[..all.len().min(NETWORKS)];
    heading(html, "Networks that several came from", shown.len(), all.len());
    table(
        html,
        &[
            ("network", false),
            ("addresses", true),
            ("alerts", true),
            ("bans", true),
            ("dropped", true),
        ],
    );
    for network in shown {
        html.markup("<tr><td class=\"t\">").text(&network.net.to_string()).markup("</td>");
        number(html, "addresses", network.offenders);
        number(html, "alerts", network.alerts);
        number(html, "bans", network.bans);
        number(html, "dropped", network.packets);
        html.markup("</tr>\n");
    }
    html.markup("</tbody></table></div>\n");
}

fn rules(html: &mut Html, ledger: &Ledger, around: &Surroundings) {
    let all = ledger.busiest();
    let shown = &all[..all.len().min(RULES)];
    heading(html, "By what", shown.len(), all.len());
    if shown.is_empty() {
        html.markup("<p class=\"none\">No rule fired.</p></div>\n");
        return;
    }
    table(
        html,
        &[("rule", false), ("what", false), ("alerts", true), ("bans", true), ("addresses", true)],
    );
    let most = shown.iter().map(|(_, sum)| sum.alerts.max(sum.bans)).max().unwrap_or(1).max(1);
    for (rule, sum) in shown {
        let known = around.packs.iter().flat_map(|packs| &packs.rules().rules);
        let known = known.map(|rule| &rule.head).find(|head| Some(head.id) == *rule);
        let RuleSum { level: worst, reason, alerts, bans, offenders } = sum;
        html.markup("<tr><td class=\"t\">");
        match rule {
            Some(rule) => html.text(&rule.to_string()),
            None => html.markup("score"),
        };
        html.markup("</td><td class=\"s\">");
        level(html, *worst);
        html.markup(" ");
        match (known, rule) {
            (Some(head), _) => {
                html.text(&head.description).markup(" <small>").text(&head.pack).markup("</small>")
            }
            // The reason names one offender's numbers.
            (None, None) => html.markup("the score of several kinds of evidence together"),
            (None, Some(_)) => html.text(reason),
        };
        let share = alerts.max(bans) * 100 / most;
        html.markup("<span class=\"b ban\" style=\"width:").count(share).markup("%\"></span></td>");
        number(html, "alerts", *alerts);
        number(html, "bans", *bans);
        number(html, "addresses", offenders.len() as u64);
        html.markup("</tr>\n");
    }
    html.markup("</tbody></table></div>\n");
}

fn withheld(html: &mut Html, ledger: &Ledger) {
    if ledger.withheld.is_empty() && ledger.late == 0 {
        return;
    }
    heading(html, "Not banned, and why", 0, 0);
    table(html, &[("why", false), ("what that means", false), ("times", true)]);
    let late = (ledger.late > 0).then_some(("late", ledger.late));
    let withheld = ledger.withheld.iter().map(|(why, times)| (why.as_str(), *times));
    for (why, times) in withheld.chain(late) {
        let meaning = match why {
            "allowed" => "on the allow list",
            "unproven" => "the address could have been spoofed",
            "outbound" => "our side opened the connection",
            "private" => "a private address",
            "ambiguous" => "the line named two addresses",
            "already" => "banned already",
            "rate" => "more bans than ban.max_per_minute",
            "live-session" => "somebody is logged in from there",
            "front" => "a proxy that carries many",
            "untrusted" => "the log can be forged",
            "observe" => "mode observe",
            "late" => "read so late that the ban would have been over",
            _ => "",
        };
        html.markup("<tr><td class=\"t\">").text(why).markup("</td><td class=\"s\">");
        html.markup(meaning).markup("</td>");
        number(html, "times", times);
        html.markup("</tr>\n");
    }
    html.markup("</tbody></table></div>\n");
}

fn standing(html: &mut Html, ledger: &Ledger, around: &Surroundings) {
    let bans = match &around.standing {
        Ok(bans) => bans,
        Err(why) => {
            heading(html, "Still banned", 0, 0);
            html.markup("<p class=\"none\">That can't be told: ").text(why).markup("</p></div>\n");
            return;
        }
    };
    let mut bans: Vec<&ListedBan> = bans.iter().collect();
    bans.sort_by_key(|ban| std::cmp::Reverse(ban.dropped_packets));
    let shown = &bans[..bans.len().min(STANDING)];
    heading(html, "Still banned", shown.len(), bans.len());
    if shown.is_empty() {
        html.markup("<p class=\"none\">Nobody.</p></div>\n");
        return;
    }
    table(
        html,
        &[("address", false), ("why", false), ("dropped", true), ("time", true), ("left", false)],
    );
    for ban in shown {
        let left = match &ban.expires {
            Some(expires) => table::left(expires, ledger.span().now),
            None => "until lifted".to_owned(),
        };
        html.markup("<tr><td class=\"t\">").text(&ban.target.to_string());
        html.markup("</td><td class=\"s\">").text(&ban.reason);
        if let Some(ports) = &ban.ports {
            html.markup(" <small>ports ").text(&ports.to_string()).markup("</small>");
        }
        html.markup(" <small>").text(&crate::cli::list::by(ban)).markup("</small></td>");
        number(html, "dropped", ban.dropped_packets);
        html.markup("<td class=\"n\" data-l=\"ban no.\">")
            .count(ban.offences.into())
            .markup(".</td>");
        words(html, "left", &left);
        html.markup("</tr>\n");
    }
    html.markup("</tbody></table></div>\n");
}

fn mails(html: &mut Html, ledger: &Ledger, around: &Surroundings) {
    let all = &around.mails;
    let shown = &all[..all.len().min(MAILS)];
    heading(html, "Mails", shown.len(), all.len());
    if shown.is_empty() {
        html.markup("<p class=\"none\">None was due.</p></div>\n");
        return;
    }
    table(html, &[("made", false), ("about", false), ("", false)]);
    for mail in shown {
        html.markup("<tr>");
        words(html, "", &ledger.span().local(mail.made, TIME));
        html.markup("<td class=\"s\">");
        level(html, mail.level);
        html.markup(" ").text(&mail.subject);
        if let Some(error) = mail.error.as_ref().filter(|_| mail.state != "sent") {
            html.markup("<br><small>").text(error).markup("</small>");
        }
        html.markup("</td>");
        words(html, "", &mail.state);
        html.markup("</tr>\n");
    }
    html.markup("</tbody></table></div>\n");
}

fn foot(html: &mut Html, ledger: &Ledger) {
    html.markup("<footer><p>Written by ravelin ").text(env!("CARGO_PKG_VERSION")).markup(" on ");
    html.text(&ledger.span().local(ledger.span().now, "%-d %B %Y at %H:%M %Z"));
    html.markup(
        ". Alerts of level 7 and above are kept, as long as state.history says. How many packets a ban dropped is known \
         when it ends, and of those that stand now; they are spread evenly over its time. ",
    );
    html.count(ledger.by_hand).markup(" of the bans were made by hand, ").count(ledger.lifted);
    html.markup(" were lifted before their time.</p></footer>\n");
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", table::grouped(count), if count == 1 { one } else { many })
}
