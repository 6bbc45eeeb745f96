//! The only door to the API server's objects: follows the four kinds, of the nodes only its own, and hands their changes
//! to the sync.
//!
//! Each kind is listed as a stream where the API server can (`sendInitialEvents`), else page by page, and then watched
//! with bookmarks. A lost connection is taken up where it ended, with growing pauses and jitter; whatever else goes
//! wrong makes that kind be listed anew, since after it nobody can be sure of what was missed.

mod change;
mod fetch;
mod mask;
mod object;
mod read;
mod relist;

pub use change::{Batch, Change, Identity, Trouble};
pub use fetch::fetch;

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::causes::causes;
use crate::jitter;
use crate::kind::Kind;
use crate::status::Shared;
use object::{Followed, Namespaces, Nodes, Pods, Policies, Seen};
use relist::Relist;

/// How many objects a page of a plain list has.
const PAGE: u32 = 500;

/// A streaming list that is not complete by then comes from a server that does not know the parameter and only
/// watches; so it is listed plainly.
const STREAM_LIMIT: Duration = Duration::from_secs(60);

/// How long the API server keeps a watch at least, in seconds; chance adds up to a third. kube gives up a silent one 5 s
/// after that, so a server that stands still is noticed after this time at the latest. A connection that died without
/// a word is noticed by the client, much earlier.
const WATCH_SECONDS: u32 = 180;

/// How long the API server keeps a watch at most.
pub const LONGEST_WATCH: Duration = Duration::from_secs((WATCH_SECONDS + WATCH_SECONDS / 3) as u64);

/// A watch that says nothing for so long after an interruption is up again: the longest pause between two attempts is
/// half a minute, and a quiet kind has nothing to say.
const RECOVERED: Duration = Duration::from_secs(75);

/// The pause before a kind is listed anew after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// Starts following all kinds. The tasks end when the receiver of `batches` does.
pub fn start(client: &Client, batches: &Sender<Batch>, shared: &Shared) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(follow::<Namespaces>(
        client.clone(),
        batches.clone(),
        shared.clone(),
    ));
    tasks.spawn(follow::<Nodes>(
        client.clone(),
        batches.clone(),
        shared.clone(),
    ));
    tasks.spawn(follow::<Pods>(
        client.clone(),
        batches.clone(),
        shared.clone(),
    ));
    tasks.spawn(follow::<Policies>(
        client.clone(),
        batches.clone(),
        shared.clone(),
    ));
    tasks
}

/// How the list at the beginning of a watch is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    Stream,
    Pages,
}

/// Why a watch is given up and begun anew.
#[derive(Debug)]
enum End {
    /// Nobody listens any more.
    Closed,
    /// The API server cannot list as a stream.
    NoStream(String),
    /// Something may have been missed.
    Doubt(String),
}

async fn follow<F: Followed>(client: Client, batches: Sender<Batch>, shared: Shared) {
    let mut relist = Relist::default();
    let mut listing = Listing::Stream;
    loop {
        let api = Api::<Seen<F>>::all(client.clone());
        match watch(api, listing, &mut relist, &batches, &shared).await {
            End::Closed => return,
            End::NoStream(reason) => {
                tracing::info!(kind = ?F::KIND, reason, "listing page by page");
                listing = Listing::Pages;
            }
            End::Doubt(reason) => {
                tracing::warn!(kind = ?F::KIND, reason, "listing anew");
                shared.watch_failed(F::KIND, &reason);
                sleep(PAUSE).await;
            }
        }
    }
}

async fn watch<F: Followed>(
    api: Api<Seen<F>>,
    listing: Listing,
    relist: &mut Relist,
    batches: &Sender<Batch>,
    shared: &Shared,
) -> End {
    let config =
        watcher::Config::default().timeout(WATCH_SECONDS + jitter::below(WATCH_SECONDS / 3));
    let config = match listing {
        Listing::Stream => config.streaming_lists(),
        Listing::Pages => config.page_size(PAGE),
    };
    // A node's own traffic is no policy's (semantics of NetworkPolicy: a pod and its node always reach each other), so
    // of all nodes only this one matters. Node objects are large, and each kubelet changes its own again and again.
    let config = match F::KIND {
        Kind::Nodes => config.fields(&named(shared.node())),
        Kind::Namespaces | Kind::Pods | Kind::Policies => config,
    };
    let mut events = pin!(watcher(api, config).default_backoff());
    let mut is_listed = false;
    let mut has_begun = false;
    let mut is_interrupted = false;
    loop {
        let limit = match listing {
            Listing::Stream if has_begun && !is_listed => STREAM_LIMIT,
            _ if is_interrupted && is_listed => RECOVERED,
            _ => Duration::MAX,
        };
        let event = match timeout(limit, events.next()).await {
            Ok(Some(event)) => event,
            Ok(None) => return End::Doubt("the watch ended".to_owned()),
            Err(_) if is_listed => {
                is_interrupted = false;
                shared.watch_works(F::KIND);
                continue;
            }
            Err(_) => return End::NoStream("the streaming list does not end".to_owned()),
        };
        match event {
            Ok(event) => {
                has_begun = true;
                // With pages, it begins before the API server was asked for anything.
                if !matches!(event, watcher::Event::Init) {
                    is_interrupted = false;
                    shared.watch_works(F::KIND);
                }
                let Some(batch) = relist.take(event) else {
                    continue;
                };
                is_listed |= batch.is_complete;
                if batches.send(batch).await.is_err() {
                    return End::Closed;
                }
            }
            Err(error) => {
                let is_streaming_list = listing == Listing::Stream && !is_listed;
                match judge(F::KIND, &error) {
                    Verdict::Refused if is_streaming_list => {
                        return End::NoStream(causes(&error));
                    }
                    Verdict::Refused | Verdict::Doubt => return End::Doubt(causes(&error)),
                    Verdict::GoesOn => {
                        let error = causes(&error);
                        tracing::warn!(kind = ?F::KIND, error, "watch interrupted");
                        shared.watch_failed(F::KIND, &error);
                        is_interrupted = true;
                    }
                }
            }
        }
    }
}

/// The field selector of the object of this name, with what has a meaning in selectors escaped.
fn named(name: &str) -> String {
    let mut selector = "metadata.name=".to_owned();
    for character in name.chars() {
        if matches!(character, '\\' | ',' | '=') {
            selector.push('\\');
        }
        selector.push(character);
    }
    selector
}

/// What an error of a watch means.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The watcher takes it up where it ended, or lists anew by itself.
    GoesOn,
    /// The API server does not understand the request, or cannot fulfil it.
    Refused,
    /// The watcher would go on as if nothing were missing.
    Doubt,
}

fn judge(kind: Kind, error: &watcher::Error) -> Verdict {
    let status = match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::InitialListFailed(kube::Error::Api(status)) => status,
        // After this one the watcher lists anew by itself when the version is gone (410).
        watcher::Error::WatchError(status) if status.code == 410 => return Verdict::GoesOn,
        // An API server whose etcd is too old for progress notifications (3.4.23 is) begins a streaming list and then says that it cannot.
        watcher::Error::WatchError(_) => return Verdict::Refused,
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(
            kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::ReadEvents(_),
        ) => return Verdict::GoesOn,
        watcher::Error::WatchFailed(kube::Error::ReadEvents(_) | kube::Error::HyperError(_)) => {
            return Verdict::GoesOn;
        }
        _ => return Verdict::Doubt,
    };
    match status.code {
        400 | 422 => Verdict::Refused,
        // Not allowed, busy or starting: a new list would ask for the same at a greater cost.
        401 | 403 | 429 | 500 | 503 => {
            if status.code == 403 {
                tracing::error!(
                    ?kind,
                    message = status.message,
                    "not allowed: is the ClusterRole there?"
                );
            }
            Verdict::GoesOn
        }
        _ => Verdict::Doubt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn refusal(code: u16) -> watcher::Error {
        let status = Status::failure("no", "Reason").with_code(code);
        watcher::Error::WatchStartFailed(kube::Error::Api(status.boxed()))
    }

    #[test]
    fn a_name_stays_one_name_in_a_selector() {
        assert_eq!(named("node-a.example"), "metadata.name=node-a.example");
        assert_eq!(named(r"a,b=c\"), r"metadata.name=a\,b\=c\\");
    }

    #[test]
    fn only_what_can_be_taken_up_where_it_ended_goes_on() {
        assert_eq!(judge(Kind::Pods, &refusal(422)), Verdict::Refused);
        assert_eq!(judge(Kind::Pods, &refusal(503)), Verdict::GoesOn);
        assert_eq!(judge(Kind::Pods, &refusal(410)), Verdict::Doubt);
        assert_eq!(
            judge(Kind::Pods, &refusal(504)),
            Verdict::Doubt,
            "a version of the future"
        );
        assert_eq!(
            judge(Kind::Pods, &watcher::Error::NoResourceVersion),
            Verdict::Doubt
        );
        let gone = Status::failure("too old", "Expired").with_code(410).boxed();
        assert_eq!(
            judge(Kind::Pods, &watcher::Error::WatchError(gone)),
            Verdict::GoesOn
        );
        let cannot = Status::failure("storage", "InternalError").with_code(500);
        assert_eq!(
            judge(Kind::Pods, &watcher::Error::WatchError(cannot.boxed())),
            Verdict::Refused
        );
        let garbled = serde_json::from_str::<u8>("{").unwrap_err();
        let garbled = watcher::Error::WatchFailed(kube::Error::SerdeError(garbled));
        assert_eq!(judge(Kind::Pods, &garbled), Verdict::Doubt);
    }
}
