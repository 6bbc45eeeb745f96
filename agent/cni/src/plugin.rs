//! The program: what the runtime asks for comes in by environment and standard input, the answer goes to standard
//! output (CNI specification 1.1.0, section 2).

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::client::ask;
use crate::config::{self, Config, NEWEST, OnFailure, VERSIONS};
use crate::environment::{Environment, Verb};
use crate::error::{CniError, Code};
use crate::neighbours::drop_waiting;
use crate::prev_result;
use crate::protocol::{Attachment, Order, Reply, Sandbox};
use crate::quarantine::{self, Held, QuarantineError};

/// How long a configuration may be.
const MAX_INPUT: u64 = 1024 * 1024;

/// How long DEL, STATUS and the like wait for the agent, which answers them at once.
const SHORT: Duration = Duration::from_secs(5);

/// Serves one call of the runtime.
pub fn run(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    input: impl Read,
    output: &mut impl Write,
) -> ExitCode {
    let environment = Environment::new(variables);
    let input = read(input);
    let version = input.as_deref().ok().and_then(config::version);
    let version = version.unwrap_or_else(|| NEWEST.to_owned());
    let (text, code) = match serve(&environment, input, &version) {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(error) => (error.to_json(&version), ExitCode::FAILURE),
    };
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Ok(()) => code,
        // The runtime does not know of success, so it must not be one.
        Err(_) => ExitCode::FAILURE,
    }
}

/// What goes to standard output.
fn serve(
    environment: &Environment,
    input: Result<Vec<u8>, CniError>,
    version: &str,
) -> Result<String, CniError> {
    let config = |input: Result<Vec<u8>, CniError>| Config::read(&input?);
    match environment.verb()? {
        Verb::Version => Ok(versions(version)),
        Verb::Add => add(environment, &config(input)?).map(|result| result.get().to_owned()),
        Verb::Check => check(environment, &config(input)?).map(silently),
        Verb::Gc => collect(&config(input)?).map(silently),
        Verb::Status => status(&config(input)?).map(silently),
        Verb::Del => {
            // A pod must be removable whatever is wrong here. What the agent was not told it finds out by itself, when
            // the network namespace has gone.
            if let Err(error) = config(input).and_then(|config| delete(environment, &config)) {
                complain(&error);
            }
            Ok(String::new())
        }
    }
}

/// Success without a word, as all verbs but ADD and VERSION have it.
fn silently((): ()) -> String {
    String::new()
}

fn add<'c>(environment: &Environment, config: &'c Config) -> Result<&'c RawValue, CniError> {
    let attachment = attachment(environment, config)?;
    let result = prev_result(config)?;
    let pod = &attachment.pod;
    if config.exempt_namespaces.contains(&pod.namespace) {
        return Ok(result);
    }
    let failed = format!(
        "the rules of pod {}/{} are not in force",
        pod.namespace, pod.name
    );
    let later = |reason| CniError::new(Code::TryAgainLater, failed.clone(), reason);
    let addresses = attachment.addresses.clone();
    let held = Held {
        pod: format!("{}/{}", pod.namespace, pod.name),
        uid: pod.uid.clone(),
        container: attachment.sandbox.container_id.clone(),
    };
    let reason = match ask(&config.socket, Order::Attach(attachment), config.patience) {
        Ok(Reply::Done) => None,
        Ok(Reply::Refused(reason)) => {
            return Err(CniError::new(Code::InvalidConfig, failed, reason));
        }
        Ok(Reply::TryAgain(reason) | Reply::Unknown(reason)) => Some(reason),
        Err(error) => Some(error.to_string()),
    };
    match (reason, config.on_failure) {
        (None, OnFailure::FailClosed) => {}
        (None, OnFailure::FailOpen) => {
            // It may have been held when the runtime tried before, or the address for an earlier pod.
            let released = quarantine::release(&addresses.iter().copied().collect());
            released.map_err(|error| later(format!("its quarantine does not end: {error}")))?;
        }
        (Some(reason), OnFailure::FailClosed) => return Err(later(reason)),
        (Some(reason), OnFailure::FailOpen) => {
            quarantine::hold(&addresses, &held).map_err(|error| {
                later(format!(
                    "{reason}; and it cannot start in quarantine: {error}"
                ))
            })?;
            let details = format!("{failed}; it starts in quarantine");
            complain(&CniError::new(Code::TryAgainLater, details, reason));
        }
    }
    // The runtime runs plugins in the node's network namespace.
    drop_waiting(&addresses).map_err(|error| {
        later(format!(
            "packets that wait for its addresses cannot be dropped: {error}"
        ))
    })?;
    Ok(result)
}

fn delete(environment: &Environment, config: &Config) -> Result<(), CniError> {
    let sandbox = environment.sandbox()?;
    if config.on_failure == OnFailure::FailOpen
        && let Err(error) = release_others(|container| *container != sandbox.container_id)
    {
        complain(&not_released(&error));
    }
    let order = Order::Detach(sandbox);
    expect_done(config, order, Code::TryAgainLater, "the agent was not told")
}

fn check(environment: &Environment, config: &Config) -> Result<(), CniError> {
    let attachment = attachment(environment, config)?;
    if config.exempt_namespaces.contains(&attachment.pod.namespace) {
        return Ok(());
    }
    let message = "the attachment is not as it should be";
    match ask(&config.socket, Order::Check(attachment), SHORT) {
        Ok(Reply::Done) => Ok(()),
        Ok(Reply::Unknown(reason)) => Err(CniError::new(Code::UnknownContainer, message, reason)),
        Ok(Reply::TryAgain(reason)) => Err(CniError::new(Code::TryAgainLater, message, reason)),
        Ok(Reply::Refused(reason)) => Err(CniError::new(Code::InvalidConfig, message, reason)),
        Err(error) => Err(CniError::new(
            Code::TryAgainLater,
            message,
            error.to_string(),
        )),
    }
}

/// Pods can start with the agent, and in quarantine without it.
fn status(config: &Config) -> Result<(), CniError> {
    let message = "pods cannot start now";
    let answer = expect_done(config, Order::Status, Code::NotAvailable, message);
    match (answer, config.on_failure) {
        (Err(error), OnFailure::FailOpen) => quarantine::held().map(|_| ()).map_err(|reason| {
            let details = format!("{}; and no quarantine can be had: {reason}", error.details);
            CniError::new(Code::NotAvailable, message, details)
        }),
        (answer, _) => answer,
    }
}

/// Lets go of the addresses of containers that are not kept.
fn release_others(is_kept: impl Fn(&String) -> bool) -> Result<(), QuarantineError> {
    let held = quarantine::held()?;
    let gone = held.iter().filter(|(_, held)| !is_kept(&held.container));
    quarantine::release(&gone.map(|(address, _)| *address).collect())
}

fn not_released(error: &QuarantineError) -> CniError {
    let message = "what is stale stays in quarantine";
    CniError::new(Code::TryAgainLater, message, error.to_string())
}

fn collect(config: &Config) -> Result<(), CniError> {
    let Some(valid) = config.valid_attachments.clone() else {
        return Err(CniError::new(
            Code::InvalidConfig,
            "invalid network configuration",
            "GC without cni.dev/valid-attachments",
        ));
    };
    if config.on_failure == OnFailure::FailOpen {
        let is_valid = |container: &String| {
            let is_of = |sandbox: &Sandbox| sandbox.container_id == *container;
            valid.iter().any(is_of)
        };
        release_others(is_valid).map_err(|error| not_released(&error))?;
    }
    let message = "stale attachments are not cleared";
    expect_done(config, Order::Collect(valid), Code::TryAgainLater, message)
}

fn expect_done(config: &Config, order: Order, code: Code, message: &str) -> Result<(), CniError> {
    let details = match ask(&config.socket, order, SHORT) {
        Ok(Reply::Done) => return Ok(()),
        Ok(Reply::TryAgain(reason) | Reply::Unknown(reason) | Reply::Refused(reason)) => reason,
        Err(error) => error.to_string(),
    };
    Err(CniError::new(code, message, details))
}

fn attachment(environment: &Environment, config: &Config) -> Result<Attachment, CniError> {
    let network = prev_result::read(prev_result(config)?)?;
    Ok(Attachment {
        sandbox: environment.sandbox()?,
        pod: environment.pod()?,
        netns: environment.netns()?,
        host_interface: network.host_interface,
        addresses: network.addresses,
    })
}

fn prev_result(config: &Config) -> Result<&RawValue, CniError> {
    config.prev_result.as_deref().ok_or_else(|| {
        CniError::new(
            Code::InvalidConfig,
            "invalid network configuration",
            "there is no prevResult: nopal-cni is a chained plugin and must stand after one that makes the interface",
        )
    })
}

fn read(input: impl Read) -> Result<Vec<u8>, CniError> {
    let failed = |reason: String| CniError::new(Code::Io, "cannot read standard input", reason);
    let mut bytes = Vec::new();
    let read = input.take(MAX_INPUT + 1).read_to_end(&mut bytes);
    read.map_err(|error| failed(error.to_string()))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_INPUT {
        return Err(failed(format!("it is longer than {MAX_INPUT} bytes")));
    }
    Ok(bytes)
}

fn versions(version: &str) -> String {
    let supported: Vec<String> = VERSIONS.iter().map(|one| format!("{one:?}")).collect();
    let version = serde_json::Value::from(version);
    format!(
        r#"{{"cniVersion":{version},"supportedVersions":[{}]}}"#,
        supported.join(",")
    )
}

/// Standard error goes to the runtime's log.
#[expect(
    clippy::print_stderr,
    reason = "the one way to tell when DEL succeeds all the same"
)]
fn complain(error: &CniError) {
    eprintln!("nopal-cni: {error}");
}
