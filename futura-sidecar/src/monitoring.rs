//! What a person or CI asks of Prometheus and Alertmanager; a sidecar that runs uses none of it.
//!
//! - `api`: their HTTP APIs, every answer bounded in time and size.
//! - `catalogue`: what metrics there are.
//! - `verify`: whether every rule and panel finds data. `drill`: whether an alert reaches who is to act.

pub use self::{
    api::{Access, ApiConfig, ApiError},
    catalogue::catalogue_at,
    drill::{Drill, DrillConfig, DrillError, Drilled, DrilledAlert, Witness, Word},
    receiver::{Message, MessageStatus, Receiver},
    verify::{Answer, Question, Summary, Verified, VerifyConfig, questions, verify},
};

mod api;
mod catalogue;
mod drill;
mod receiver;
mod verify;
