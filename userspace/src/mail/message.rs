//! From a stored mail to the bytes that go to the relay.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lettre::Message;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};

use crate::event::Timestamp;
use crate::store::Mail;

/// The same mail gives the same message, whenever it is tried.
pub(super) fn message(
    mail: &Mail,
    from: &Mailbox,
    to: &[Mailbox],
) -> Result<Message, lettre::error::Error> {
    let mut builder = Message::builder()
        .from(from.clone())
        .subject(mail.subject.clone())
        .date(system_time(mail.made))
        .message_id(Some(mail.message_id.clone()))
        // RFC 3834: nobody's holiday greeting should answer.
        .raw_header(raw("Auto-Submitted", "auto-generated".to_owned()))
        // For filters.
        .raw_header(raw("X-Ravelin-Level", mail.level.to_string()));
    for recipient in to {
        builder = builder.to(recipient.clone());
    }
    let plain = part(ContentType::TEXT_PLAIN, &mail.body);
    if mail.html.is_empty() {
        return builder.singlepart(plain);
    }
    // Nobody who writes into logs knows the database's part of the Message-ID.
    let id: String = mail.message_id.chars().filter(char::is_ascii_alphanumeric).collect();
    builder.multipart(
        MultiPart::alternative()
            .boundary(format!("=_{}", id.get(..60).unwrap_or(&id)))
            .singlepart(plain)
            .singlepart(part(ContentType::TEXT_HTML, &mail.html)),
    )
}

/// Lines end in CRLF on the wire, and inside an encoded part as well.
fn part(kind: ContentType, text: &str) -> SinglePart {
    SinglePart::builder().header(kind).body(text.replace('\n', "\r\n"))
}

fn raw(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}

fn system_time(time: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(0))
}
