//! Which build is running.

use crate::{
    label,
    spec::{GaugeSpec, Unit},
};

label! {
    /// The program's version.
    pub enum Version: "version";
}

label! {
    /// The commit that it was built from, `unknown` outside a checkout.
    pub enum Revision: "revision";
}

crate::declare! {
    /// Always 1; the labels tell which build is running.
    pub BUILD_INFO: GaugeSpec<(Version, Revision)> = GaugeSpec::new("build_info", Unit::State);
}
