//! Roles that ask for a code of a device, besides keys (multi-factor authentication).
//!
//! A code is good once and for half a minute, so a person is asked once in the process, however many buckets are read with
//! the role; and only a person who sits at a terminal.

use super::Secret;
use super::aws::Role;
use super::cached::Fetched;
use crate::error::{Error, Result};
use chrono::{TimeDelta, Utc};
use object_store::aws::AwsCredential;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::sync::LazyLock;
use tokio::sync::Mutex;

/// Keys that end sooner than this are asked for anew.
const MARGIN: TimeDelta = TimeDelta::minutes(1);

/// Keys by role, device and whose keys they were got with.
static ASSUMED: LazyLock<Mutex<HashMap<String, Fetched<AwsCredential>>>> = LazyLock::new(Default::default);

/// The keys of a role that asks for a code: those that were got with the last one, as long as they are good.
pub(super) async fn assumed_with_code<F: Future<Output = Result<Fetched<AwsCredential>>>>(
    role: &Role,
    assume: impl Fn() -> F,
) -> Result<Fetched<AwsCredential>> {
    let key = format!("{role:?}");
    // Others wait: nobody types two codes at once.
    let mut assumed = ASSUMED.lock().await;
    if let Some(known) = assumed.get(&key)
        && known.expires.is_none_or(|end| Utc::now() + MARGIN < end)
    {
        return Ok(known.clone());
    }
    let fetched = assume().await?;
    assumed.insert(key, fetched.clone());
    Ok(fetched)
}

/// Asks the person at the terminal for the code of a role's device.
///
/// # Errors
/// When there is nobody at a terminal.
pub(super) async fn ask_for_code(role: &Role) -> Result<Secret> {
    let device = role.device.clone().unwrap_or_default();
    let question = format!("Code of {device} for role {}: ", role.role);
    let nobody = |why: &str| {
        Error::storage(format!(
            "role {} asks for a code of {device}, and {why}",
            role.role
        ))
        .with_hint(
            "run lakebed at a terminal, or get temporary keys with `aws sts assume-role --serial-number … --token-code …` \
             and set them in the environment",
        )
    };
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(nobody("there is no terminal to ask at"));
    }
    let asked = tokio::task::spawn_blocking(move || -> std::io::Result<String> {
        let mut terminal = std::fs::File::options().read(true).write(true).open("/dev/tty")?;
        // Whatever shows progress may stand in this line.
        write!(terminal, "\r\x1b[K{question}")?;
        terminal.flush()?;
        let mut line = String::new();
        BufReader::new(terminal).read_line(&mut line)?;
        Ok(line)
    });
    let code = asked.await.map_err(|_| Error::internal("asking for a code panicked"))?;
    let code = code.map_err(|e| nobody(&format!("the terminal cannot be read: {e}")))?;
    match code.trim() {
        "" => Err(nobody("none was given")),
        code => Ok(Secret::new(code)),
    }
}
