//! Full loads while somebody listens to changes of tables, as an agent does: one who hears of each element, and one who
//! pauses meanwhile, as a guard has it. What the kernel keeps for listeners until a transaction ends is slab memory.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nft_backend::kernel::Kernel;
use nft_backend::load::Load;
use nft_backend::netlink::Netlink;
use nft_backend::nft::Nft;
use nft_backend::notifications::{Notices, Notifications};

use crate::{Failure, LOADS, remove, timed};

/// The kernel's memory is looked at so often.
const LOOK: Duration = Duration::from_millis(1);

/// Writes a row for each way to listen; their turns alternate.
pub(crate) fn measure(out: &mut dyn Write, nft: &Nft, load: &Load) -> Result<(), Failure> {
    let table = &load.create.table;
    let mut kernel = Netlink::beside(nft.clone());
    let mut notices = Notifications::of(nft, table)?;
    let [mut heard, mut paused] = [Vec::new(), Vec::new()];
    for _ in 0..LOADS {
        heard.push(loaded(&mut kernel, load)?);
        kernel.apply(&remove(table))?;
        notices.pause()?;
        paused.push(loaded(&mut kernel, load)?);
        notices.resume(1);
        kernel.apply(&remove(table))?;
        notices.read()?;
    }
    writeln!(
        out,
        "\n| full load by netlink | p50 | of | kernel memory at its highest, above what it was |"
    )?;
    writeln!(out, "|---|---|---|---|")?;
    for (listener, mut loads) in [
        ("a listener hears of it", heard),
        ("the listener pauses", paused),
    ] {
        loads.sort();
        let (time, _) = loads[loads.len() / 2];
        let highest = loads.iter().map(|(_, memory)| memory).max();
        let highest = highest.ok_or("nothing was loaded")? / 1024;
        let number = loads.len();
        writeln!(out, "| {listener} | {time:?} | {number} | {highest} MiB |")?;
    }
    Ok(())
}

/// What the load took, and how much the kernel's memory grew for it, in KiB.
fn loaded(kernel: &mut Netlink, load: &Load) -> Result<(Duration, u64), Failure> {
    let watch = Watch::start()?;
    let time = timed(kernel, &load.create)?;
    Ok((time, watch.stop()?))
}

/// Looks at the kernel's memory while something happens.
struct Watch {
    is_over: Arc<AtomicBool>,
    before: u64,
    highest: JoinHandle<Option<u64>>,
}

impl Watch {
    fn start() -> Result<Self, Failure> {
        let before = slab().ok_or("/proc/meminfo tells no slab memory")?;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let highest = thread::spawn(move || {
            let mut highest = before;
            while !over.load(Ordering::Relaxed) {
                highest = highest.max(slab()?);
                thread::sleep(LOOK);
            }
            Some(highest)
        });
        Ok(Self {
            is_over,
            before,
            highest,
        })
    }

    /// How much more there was than at the start, in KiB.
    fn stop(self) -> Result<u64, Failure> {
        self.is_over.store(true, Ordering::Relaxed);
        let highest = self.highest.join().map_err(|_| "the watch panicked")?;
        let highest = highest.ok_or("/proc/meminfo cannot be read any more")?;
        Ok(highest.saturating_sub(self.before))
    }
}

/// The kernel's memory for small objects, in KiB.
fn slab() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("Slab:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
