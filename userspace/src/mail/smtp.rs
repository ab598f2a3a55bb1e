//! One conversation with the relay.
//!
//! The stages are our own, on lettre's connection, because what a refusal means depends on the stage: a
//! 5xx to the mail is the mail's end, a 5xx to the greeting or the password is trouble with the relay,
//! which the mail outlives. One recipient who is refused doesn't cost the others their mail.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};

use super::fault::Fault;
use super::message::message;
use super::relay::{Relay, Security};
use crate::store::Mail;

/// The relay has the mail.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Delivered {
    /// Recipients whom it refused, with what it said, beside those it took.
    pub refused: Vec<String>,
}

/// The relay doesn't have the mail.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It may take it later.
    #[error("{stage}: {reason}")]
    Trouble {
        /// How far we came.
        stage: &'static str,
        /// What that means.
        fault: Fault,
        /// What happened.
        reason: String,
    },
    /// It never will.
    #[error("refused: {reason}")]
    Refused {
        /// What that means.
        fault: Fault,
        /// What it said.
        reason: String,
    },
}

impl SendError {
    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Trouble { fault, .. } | Self::Refused { fault, .. } => fault.remedy(),
        }
    }
}

/// To connect, and for each answer.
const STEP: Duration = Duration::from_secs(60);
/// For the answer to the mail itself: giving up early makes doubles (RFC 5321, 4.5.3.2.6 wants 10
/// minutes).
const TAKEN: Duration = Duration::from_secs(10 * 60);

impl Relay {
    /// Brings a mail to the relay.
    ///
    /// # Errors
    ///
    /// Whether to try again, or not.
    pub async fn send(&self, mail: &Mail, hello: &str) -> Result<Delivered, SendError> {
        let message = message(mail, &self.from, &self.to).map_err(|error| SendError::Refused {
            fault: Fault::Content,
            reason: error.to_string(),
        })?;
        let mut connection = self.connect(&ClientId::Domain(hello.to_owned())).await?;
        let outcome = self.submit(&mut connection, &message.formatted()).await;
        // The outcome shouldn't wait for the farewell: until it is stored, a double is possible.
        tokio::spawn(async move {
            let farewell = async {
                if !connection.has_broken() {
                    connection.quit().await.ok();
                }
                connection.abort().await;
            };
            tokio::time::timeout(Duration::from_secs(5), farewell).await.ok();
        });
        outcome
    }

    /// Connects, greets and, where that is configured, turns on TLS and logs in; brings no mail.
    ///
    /// # Errors
    ///
    /// [`SendError::Trouble`], with the stage that it came to.
    pub async fn greet(&self, hello: &str) -> Result<(), SendError> {
        let mut connection = self.connect(&ClientId::Domain(hello.to_owned())).await?;
        // It has answered; whether it takes leave politely doesn't matter.
        connection.quit().await.ok();
        Ok(())
    }

    async fn connect(&self, hello: &ClientId) -> Result<AsyncSmtpConnection, SendError> {
        let address = (self.host.as_str(), self.port);
        let tls = match self.security {
            Security::Plain => None,
            Security::StartTls | Security::Tls => {
                Some(self.tls().map_err(|error| trouble("tls", &error))?)
            }
        };
        let (wrapped, upgrade) =
            if self.security == Security::Tls { (tls, None) } else { (None, tls) };
        let connecting =
            AsyncSmtpConnection::connect_tokio1(address, Some(STEP), hello, wrapped, None);
        let mut connection =
            step("connect", STEP, connecting).await?.map_err(|error| trouble("connect", &error))?;
        if let Some(tls) = upgrade {
            step("starttls", STEP, connection.starttls(tls, hello))
                .await?
                .map_err(|error| trouble("starttls", &error))?;
        }
        if let Some(login) = &self.login {
            let credentials = login.credentials().map_err(|error| SendError::Trouble {
                stage: "login",
                fault: Fault::Secret,
                reason: error.to_string(),
            })?;
            step(
                "login",
                STEP,
                connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials),
            )
            .await?
            .map_err(|error| trouble("login", &error))?;
        }
        Ok(connection)
    }

    /// Certificates are verified in any case: by `mail.ca_file`, or by the system's authorities.
    fn tls(&self) -> Result<TlsParameters, SmtpError> {
        let Some(authorities) = &self.authorities else {
            return TlsParameters::new(self.host.clone());
        };
        let mut builder =
            TlsParameters::builder(self.host.clone()).certificate_store(CertificateStore::None);
        for certificate in authorities.iter() {
            builder = builder.add_root_certificate(Certificate::from_der(certificate.to_vec())?);
        }
        builder.build()
    }

    async fn submit(
        &self,
        connection: &mut AsyncSmtpConnection,
        message: &[u8],
    ) -> Result<Delivered, SendError> {
        let mut parameters = Vec::new();
        let everybody = || self.to.iter().chain([&self.from]);
        if !everybody().all(|mailbox| mailbox.email.to_string().is_ascii()) {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                let reason = "an address isn't ASCII, and the relay doesn't speak SMTPUTF8";
                return Err(SendError::Refused {
                    fault: Fault::Recipient,
                    reason: reason.to_owned(),
                });
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        let from = MailFrom::new(Some(self.from.email.clone()), parameters);
        step("sender", STEP, connection.command(from))
            .await?
            .map_err(|error| refusal("sender", &error))?;

        let mut delivered = Delivered::default();
        for Mailbox { email, .. } in &self.to {
            let recipient = connection.command(Rcpt::new(email.clone(), Vec::new()));
            match step("recipient", STEP, recipient).await? {
                Ok(_) => {}
                Err(error) => match refusal("recipient", &error) {
                    SendError::Refused { reason, .. } => {
                        delivered.refused.push(format!("{email}: {reason}"));
                    }
                    // All of them later rather than some now: nobody gets it twice.
                    later @ SendError::Trouble { .. } => return Err(later),
                },
            }
        }
        if delivered.refused.len() == self.to.len() {
            return Err(SendError::Refused {
                fault: Fault::Recipient,
                reason: delivered.refused.join("; "),
            });
        }
        step("data", STEP, connection.command(Data))
            .await?
            .map_err(|error| refusal("data", &error))?;
        step("data", TAKEN, connection.message(message))
            .await?
            .map_err(|error| refusal("data", &error))?;
        Ok(delivered)
    }
}

async fn step<T>(
    stage: &'static str,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, SendError> {
    tokio::time::timeout(limit, work).await.map_err(|_elapsed| SendError::Trouble {
        stage,
        fault: Fault::Silent,
        reason: format!("no answer within {} s", limit.as_secs()),
    })
}

fn trouble(stage: &'static str, error: &SmtpError) -> SendError {
    SendError::Trouble { stage, fault: fault(stage, error), reason: said(error) }
}

/// What an error at a stage means.
fn fault(stage: &'static str, error: &SmtpError) -> Fault {
    match error.status().map(u16::from) {
        Some(530) if error.to_string().contains("STARTTLS") => return Fault::TlsWanted,
        Some(530) => return Fault::LoginWanted,
        Some(534 | 535 | 538) => return Fault::LoginRefused,
        Some(400..=499) => return Fault::Later,
        Some(_) if stage == "sender" => return Fault::Sender,
        Some(_) if stage == "recipient" => return Fault::Recipient,
        Some(_) if stage == "data" => return Fault::Content,
        Some(_) | None => {}
    }
    let known = Fault::of(error);
    match stage {
        _ if known.is_some() => known.unwrap_or(Fault::Other),
        _ if error.is_timeout() => Fault::Silent,
        // What isn't said by a relay and isn't an error of the connection is said by lettre.
        "starttls" if error.is_client() => Fault::NoStartTls,
        "login" if error.is_client() => Fault::NoMechanism,
        _ if error.is_response() => Fault::Cut,
        "tls" => Fault::Tls,
        _ => Fault::Other,
    }
}

/// What a refusal of the mail means: 5xx is the end, but for those that ask for a (better) login, which
/// the admin can mend (RFC 4954, 6).
fn refusal(stage: &'static str, error: &SmtpError) -> SendError {
    let login = error.status().is_some_and(|code| matches!(u16::from(code), 530 | 534 | 535 | 538));
    if error.is_permanent() && !login {
        SendError::Refused { fault: fault(stage, error), reason: said(error) }
    } else {
        trouble(stage, error)
    }
}

/// The error with its causes, bounded: the relay wrote it.
fn said(error: &SmtpError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    // lettre says this one twice.
    let text = text.replace("Connection error: Connection error", "Connection error");
    super::text::visible(&text, 300)
}

#[cfg(test)]
mod tests;
