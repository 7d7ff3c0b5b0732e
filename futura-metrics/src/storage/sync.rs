//! What the storage synchronizes with: the atomics and locks of every day, or the model checker's where it runs the code.

#[cfg(not(loom))]
pub(super) use {
    parking_lot::Mutex,
    std::sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
};

#[cfg(loom)]
pub(super) use {
    self::modelled::{Mutex, OnceLock},
    loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

/// What the checker has no model of: a lock that is never poisoned, and a cell that is written once.
#[cfg(loom)]
mod modelled {
    use loom::sync::{
        MutexGuard,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    };

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        value: std::sync::OnceLock<T>,
        is_set: AtomicBool,
        setting: Mutex<()>,
    }

    // === impl Mutex ===

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no model panics while it holds a lock")
        }
    }

    // === impl OnceLock ===

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self { value: std::sync::OnceLock::new(), is_set: AtomicBool::new(false), setting: Mutex::new(()) }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            self.is_set.load(Acquire).then(|| self.value.get()).flatten()
        }

        pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            let _setting = self.setting.lock();
            if !self.is_set.load(Acquire) {
                let _ = self.value.set(make());
                self.is_set.store(true, Release);
            }
            self.value.get().expect("it was set before the flag was")
        }
    }
}
