//! Wakes whoever waits for jobs to change: their driver, and the streams of their events. It carries nothing: who wakes reads the
//! database, and whoever misses a ring looks again by itself a little later.

use tokio::sync::watch;

/// A bell that many can hear. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bell(watch::Sender<()>);

impl Bell {
    /// Wakes everyone who listens.
    pub fn ring(&self) {
        self.0.send_replace(());
    }

    /// Hears every ring from now on; several rings between two waits are one.
    pub fn listen(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}

impl Default for Bell {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}
