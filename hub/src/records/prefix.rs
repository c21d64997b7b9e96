//! Key prefixes.

/// Of [`super::RecordingRecord`]s.
pub const RECORDING: &str = "recording/";
/// Of rules of what is recorded.
pub const RECORDING_RULE: &str = "recording-rule/";
/// Of [`super::RoleRecord`]s.
pub const ROLE: &str = "role/";
/// Of [`super::HostRecord`]s.
pub const HOST: &str = "host/";
/// Of [`super::TokenRecord`]s.
pub const TOKEN: &str = "token/";
/// Of [`super::DeviceRecord`]s.
pub const DEVICE: &str = "operator/";
/// Of [`super::AccountRecord`]s.
pub const ACCOUNT: &str = "account/";
/// Of the keys of the hub's that hosts and devices have pinned, while it gets another.
pub const HUB_PIN: &str = "hub-pin/";
/// Of [`super::Group`]s.
pub const GROUP: &str = "group/";
/// Of [`super::Approval`]s.
pub const APPROVAL: &str = "approval/";
/// Of [`super::PostRecord`]s.
pub const POST: &str = "post/";
/// Of rules of who is told when a run is over.
pub const PUSH_RULE: &str = "push-rule/";
/// Of the [`super::AuditHead`].
pub const AUDIT: &str = "audit/";
/// Of [`super::ActsRecord`]s.
pub const ACTS: &str = "acts/";
/// Of [`super::DataKeyRecord`]s.
pub const DATA_KEY: &str = "vault/key/";
/// Of [`super::SecretRecord`]s.
pub const SECRET: &str = "secret/";
/// Of [`super::ShelfRecord`]s of runbooks.
pub const RUNBOOK: &str = "runbook/";
/// Of texts of runbooks.
pub const RUNBOOK_TEXT: &str = "runbook-text/";
/// Of signatures under them.
pub const RUNBOOK_SIGNATURE: &str = "runbook-signature/";
/// Of [`super::ShelfRecord`]s of config groups.
pub const CONFIG: &str = "config/";
/// Of texts of config groups.
pub const CONFIG_TEXT: &str = "config-text/";
/// Of [`super::ShelfRecord`]s of compose projects.
pub const COMPOSE: &str = "compose/";
/// Of their files.
pub const COMPOSE_TEXT: &str = "compose-text/";
/// Of [`super::SealedRecord`]s of their variables.
pub const COMPOSE_VARIABLES: &str = "compose-variables/";
/// Of heads of runs.
pub const RUN: &str = "run/";
/// Of pieces of their orders.
pub const RUN_ORDER: &str = "run-order/";
/// Of their targets.
pub const RUN_TARGETS: &str = "run-targets/";
/// Of the values of variables of their orders, and of those of schedules.
pub const RUN_ENV: &str = "run-env/";
/// Of what happened in them.
pub const RUN_LOG: &str = "run-log/";
/// Of schedules of runs.
pub const RUN_SCHEDULE: &str = "run-schedule/";
/// Of schedules that hosts may have although they were deleted or replaced.
pub const RUN_SCHEDULE_GONE: &str = "run-gone/";
/// Of [`crate::runs::HandedRecord`]s.
pub const RUN_HANDED: &str = "run-handed/";
/// Of idempotency keys.
pub const RUN_KEY: &str = "run-key/";
/// Of [`super::SecretUse`]s.
pub const SECRET_USE: &str = "secret-use/";
/// Of [`super::RegistryRecord`]s.
pub const REGISTRY: &str = "registry/";
/// Of [`super::ShelfRecord`]s of gateways.
pub const GATEWAY: &str = "gateway/";
/// Of their texts.
pub const GATEWAY_TEXT: &str = "gateway-text/";
/// Of the ids of the hosts that they are on.
pub const GATEWAY_AT: &str = "gateway-at/";
/// Of [`super::ShelfRecord`]s of probes.
pub const PROBE: &str = "probe/";
/// Of their texts.
pub const PROBE_TEXT: &str = "probe-text/";
/// Of [`super::ProbePast`]s.
pub const PROBE_PAST: &str = "probe-past/";
/// When the hub ran last, by which the time is known in which it did not.
pub const PROBES_ALIVE: &str = "probes/alive";
/// Of [`crate::forwards::ForwardRecord`]s.
pub const FORWARD: &str = "forward/";
/// Of [`super::ShelfRecord`]s of alert rules.
pub const RULE: &str = "rule/";
/// Of their texts.
pub const RULE_TEXT: &str = "rule-text/";
/// Of the [`super::ShelfRecord`] of the policies of alerts.
pub const POLICY: &str = "policy/";
/// Of their text.
pub const POLICY_TEXT: &str = "policy-text/";
/// Of [`super::ShelfRecord`]s of notifiers.
pub const NOTIFIER: &str = "notifier/";
/// Of their texts.
pub const NOTIFIER_TEXT: &str = "notifier-text/";
/// Of the names of the rules of the product that were kept once.
pub const RULES_SHIPPED: &str = "alerts/shipped";
/// Of what alerts know besides themselves and their groups.
pub const ALERT_CORE: &str = "alerts/core";
/// Of alerts.
pub const ALERT: &str = "alert/";
/// Of groups of alerts that are told together.
pub const ALERT_GROUP: &str = "alert-group/";
/// Of what happened to alerts, by day.
pub const ALERT_LOG: &str = "alert-log/";
/// Of what ran when alerts fired.
pub const ALERT_MOMENT: &str = "alert-moment/";
/// Of [`super::NoticeRecord`]s.
pub const NOTICE: &str = "notice/";
