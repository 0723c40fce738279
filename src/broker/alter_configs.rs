//! AlterConfigs (key 33) and IncrementalAlterConfigs (key 44): a topic's settings change.
//!
//! Records synced, then storage has it, then the answer. AlterConfigs names all settings that a topic is to have, and
//! takes back the others; IncrementalAlterConfigs changes some (KIP-339). What the broker itself is set to comes from its
//! start, and the broker's own topics stay as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::configs::{BROKER, BROKER_LOGGER, TOPIC, has_no_settings, is_this_broker};
use super::context::Context;
use super::distinct::named_twice;
use super::event::RequestId;
use super::journal::Position;
use super::topic_configs::{self, TopicConfigs};
use super::topic_plan::{Refusal, check_name_alone, config_record};
use super::topic_table::{Topic, TopicTable, is_internal};
use super::topics::commit;
use crate::base::config_table::{self, Kind, is_former_topic_key, parse_list, quoted, topic_row};
use crate::base::ids::{ConnId, TopicId};
use crate::storage::job::Job;
use crate::wire::api::Response;
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::internal::metadata::MetadataRecord;
use crate::wire::messages::{
    AlterConfigsRequest, AlterConfigsRequestConfig, AlterConfigsRequestResource,
    AlterConfigsResponse, AlterConfigsResponseResource, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsRequestConfig, IncrementalAlterConfigsRequestResource,
    IncrementalAlterConfigsResponse, IncrementalAlterConfigsResponseResource,
};

/// The operations of IncrementalAlterConfigs.
const SET: i8 = 0;
const TAKE_BACK: i8 = 1;
const ADD: i8 = 2;
const REMOVE: i8 = 3;

/// Changes that storage is told of. Until all partitions of a topic have one, the topic is not changed again, so there are
/// never more of these jobs than partitions.
#[derive(Debug, Default)]
pub struct AlterConfigs {
    pending: BTreeMap<RequestId, Pending>,
    /// How many partitions of a topic do not have their new configuration yet.
    configuring: BTreeMap<TopicId, usize>,
}

/// An answer that waits for storage.
#[derive(Debug)]
struct Pending {
    response: Response,
    position: Position,
    awaited: BTreeSet<TopicId>,
}

/// What a request wants of one resource.
struct Wanted<'r> {
    kind: i8,
    name: &'r str,
    settings: Settings<'r>,
}

/// The settings that it names.
#[derive(Clone, Copy)]
enum Settings<'r> {
    /// All that there are to be.
    All(&'r [AlterConfigsRequestConfig]),
    /// Those that change.
    Changes(&'r [IncrementalAlterConfigsRequestConfig]),
}

/// The error, or 0, and what it says.
type Said = (i16, Option<String>);

impl AlterConfigs {
    /// A client names all settings that there are to be.
    pub fn replace(
        &mut self,
        ctx: &mut Context<'_>,
        table: &mut TopicTable,
        id: RequestId,
        request: &AlterConfigsRequest,
    ) {
        let wanted = request.resources.iter().map(|resource| Wanted {
            kind: resource.resource_type,
            name: &resource.resource_name,
            settings: Settings::All(&resource.configs),
        });
        let (said, awaited) = self.alter_each(ctx, table, wanted.collect(), request.validate_only);
        let answer =
            |((error_code, error_message), resource): (Said, &AlterConfigsRequestResource)| {
                AlterConfigsResponseResource {
                    error_code,
                    error_message,
                    resource_type: resource.resource_type,
                    resource_name: resource.resource_name.clone(),
                }
            };
        let responses = said.into_iter().zip(&request.resources).map(answer).collect();
        let response = AlterConfigsResponse { responses, ..AlterConfigsResponse::default() };
        self.answer(ctx, id, response.into(), awaited);
    }

    /// A client changes single settings.
    pub fn change(
        &mut self,
        ctx: &mut Context<'_>,
        table: &mut TopicTable,
        id: RequestId,
        request: &IncrementalAlterConfigsRequest,
    ) {
        let wanted = request.resources.iter().map(|resource| Wanted {
            kind: resource.resource_type,
            name: &resource.resource_name,
            settings: Settings::Changes(&resource.configs),
        });
        let (said, awaited) = self.alter_each(ctx, table, wanted.collect(), request.validate_only);
        type Resource = IncrementalAlterConfigsRequestResource;
        let answer = |((error_code, error_message), resource): (Said, &Resource)| {
            IncrementalAlterConfigsResponseResource {
                error_code,
                error_message,
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
            }
        };
        let responses = said.into_iter().zip(&request.resources).map(answer).collect();
        let response = IncrementalAlterConfigsResponse { responses, ..Default::default() };
        self.answer(ctx, id, response.into(), awaited);
    }

    /// Alters what a request names, and says what became of each. Answers also the topics whose partitions storage has to
    /// configure.
    fn alter_each(
        &mut self,
        ctx: &mut Context<'_>,
        table: &mut TopicTable,
        wanted: Vec<Wanted<'_>>,
        validate_only: bool,
    ) -> (Vec<Said>, BTreeSet<TopicId>) {
        let twice = named_twice(wanted.iter().map(|wanted| (wanted.kind, wanted.name)));
        let mut awaited = BTreeSet::new();
        let said = wanted.iter().map(|wanted| {
            let altered = if twice.contains(&(wanted.kind, wanted.name)) {
                Err((ErrorCode::InvalidRequest, "a resource is named once in a request".to_owned()))
            } else {
                self.alter(ctx, table, wanted, validate_only)
            };
            match altered {
                Ok(topic) => {
                    awaited.extend(topic);
                    (ErrorCode::None.code(), None)
                }
                Err((error, reason)) => (error.code(), Some(reason)),
            }
        });
        (said.collect(), awaited)
    }

    /// Gives a topic the settings that are wanted. Answers the topic if storage has to hear of it.
    fn alter(
        &mut self,
        ctx: &mut Context<'_>,
        table: &mut TopicTable,
        wanted: &Wanted<'_>,
        validate_only: bool,
    ) -> Result<Option<TopicId>, Refusal> {
        let topic = find(ctx, table, wanted)?;
        let settings = &ctx.options.settings;
        let configs = match wanted.settings {
            Settings::All(all) => replaced(all)?,
            Settings::Changes(changes) => changed(&topic.configs, settings, changes)?,
        };
        topic_configs::check_together(&configs, settings)
            .map_err(|reason| (ErrorCode::InvalidConfig, reason))?;
        let records = differences(topic, &configs);
        if validate_only || records.is_empty() {
            return Ok(None);
        }
        if self.configuring.contains_key(&topic.id) {
            let reason = "an earlier change of the topic is not done yet";
            return Err((ErrorCode::RequestTimedOut, reason.into()));
        }
        if ctx.journal.is_full() {
            return Err((ErrorCode::KafkaStorageError, "the disk is full".into()));
        }
        let (id, before) = (topic.id, Arc::clone(&topic.log_config));
        commit(ctx, table, &records)?;
        let altered = table.by_id(id).filter(|topic| topic.log_config != before);
        let Some(topic) = altered else { return Ok(None) };
        for partition in topic.partition_ids() {
            let config = Arc::clone(&topic.log_config);
            ctx.job_after(topic.position, Job::Configure { partition, config });
        }
        self.configuring.insert(id, topic.partitions.len());
        Ok(Some(id))
    }

    fn answer(
        &mut self,
        ctx: &mut Context<'_>,
        id: RequestId,
        response: Response,
        awaited: BTreeSet<TopicId>,
    ) {
        // That a topic does not exist may be news that is not durable yet.
        let position = ctx.journal.end();
        if awaited.is_empty() {
            ctx.reply_after(position, id, response);
        } else {
            self.pending.insert(id, Pending { response, position, awaited });
        }
    }

    /// A partition has its new configuration. Answers those who waited for it last.
    pub fn configured(&mut self, ctx: &mut Context<'_>, topic: TopicId) {
        let Some(left) = self.configuring.get_mut(&topic) else { return };
        *left = left.saturating_sub(1);
        if *left > 0 {
            return;
        }
        self.configuring.remove(&topic);
        let mut done = Vec::new();
        for (id, pending) in &mut self.pending {
            if pending.awaited.remove(&topic) && pending.awaited.is_empty() {
                done.push(*id);
            }
        }
        for id in done {
            if let Some(Pending { response, position, .. }) = self.pending.remove(&id) {
                ctx.reply_after(position, id, response);
            }
        }
    }

    /// A connection is gone. What it asked for happens all the same.
    pub fn disconnected(&mut self, conn: ConnId) {
        self.pending.retain(|id, _| id.conn != conn);
    }
}

/// The topic whose settings may be changed.
fn find<'t>(
    ctx: &Context<'_>,
    table: &'t TopicTable,
    &Wanted { kind, name, .. }: &Wanted<'_>,
) -> Result<&'t Topic, Refusal> {
    let refuse = |error, reason: String| Err((error, reason));
    match kind {
        TOPIC if name.is_empty() => {
            let reason = "there are no settings of all topics together";
            return refuse(ErrorCode::InvalidRequest, reason.into());
        }
        TOPIC => {}
        BROKER | BROKER_LOGGER if name.is_empty() || is_this_broker(ctx, name) => {
            let reason = "the broker's settings come from its start, and stay until it ends";
            return refuse(ErrorCode::InvalidRequest, reason.into());
        }
        other => return Err(has_no_settings(ctx, other, name)),
    }
    check_name_alone(name).map_err(|reason| (ErrorCode::InvalidTopicException, reason))?;
    match table.get(name) {
        Some(topic) if is_internal(name) => {
            let reason = format!("{} is the broker's own", topic.name);
            refuse(ErrorCode::InvalidRequest, reason)
        }
        Some(topic) => Ok(topic),
        None => refuse(ErrorCode::UnknownTopicOrPartition, format!("no topic {}", quoted(name))),
    }
}

/// The records that turn a topic's settings into these.
fn differences(topic: &Topic, wanted: &TopicConfigs) -> Vec<MetadataRecord> {
    let gone = topic.configs.keys().filter(|key| !wanted.contains_key(*key));
    let gone = gone.map(|key| config_record(&topic.name, key, None));
    let set = wanted.iter().filter(|(key, value)| topic.configs.get(*key) != Some(value));
    let set = set.map(|(key, value)| config_record(&topic.name, key, Some(value.clone())));
    gone.chain(set).collect()
}

fn replaced(configs: &[AlterConfigsRequestConfig]) -> Result<TopicConfigs, Refusal> {
    let mut wanted = TopicConfigs::new();
    let mut seen = BTreeSet::new();
    for config in configs {
        let key = config.name.as_str();
        if !seen.insert(key) {
            return Err(repeated(key));
        }
        let value = value_of(key, config.value.as_deref())?;
        insert(&mut wanted, key, value.to_owned())?;
    }
    Ok(wanted)
}

fn changed(
    own: &TopicConfigs,
    settings: &config_table::Settings,
    changes: &[IncrementalAlterConfigsRequestConfig],
) -> Result<TopicConfigs, Refusal> {
    let mut wanted = own.clone();
    let mut seen = BTreeSet::new();
    for change in changes {
        let key = change.name.as_str();
        if !seen.insert(key) {
            return Err(repeated(key));
        }
        let value = match change.config_operation {
            TAKE_BACK => {
                wanted.remove(key);
                continue;
            }
            SET => value_of(key, change.value.as_deref())?.to_owned(),
            ADD | REMOVE => {
                let elements = value_of(key, change.value.as_deref())?;
                check_is_list(key)?;
                topic_configs::check(key, Some(elements)).map_err(invalid)?;
                let before = topic_configs::value_of(own, settings, key).unwrap_or_default();
                combined(&before, elements, change.config_operation == ADD)
            }
            other => {
                let reason = format!("{}: there is no operation {other}", quoted(key));
                return Err((ErrorCode::InvalidRequest, reason));
            }
        };
        insert(&mut wanted, key, value)?;
    }
    Ok(wanted)
}

/// Keys of former releases are accepted and forgotten.
fn insert(wanted: &mut TopicConfigs, key: &str, value: String) -> Result<(), Refusal> {
    topic_configs::check(key, Some(&value)).map_err(invalid)?;
    if !is_former_topic_key(key) {
        wanted.insert(key.to_owned(), value);
    }
    Ok(())
}

fn invalid(reason: String) -> Refusal {
    (ErrorCode::InvalidConfig, reason)
}

fn value_of<'c>(key: &str, value: Option<&'c str>) -> Result<&'c str, Refusal> {
    value
        .ok_or_else(|| (ErrorCode::InvalidRequest, format!("{}: null is not a value", quoted(key))))
}

fn repeated(key: &str) -> Refusal {
    (ErrorCode::InvalidRequest, format!("{} is named twice", quoted(key)))
}

fn check_is_list(key: &str) -> Result<(), Refusal> {
    match topic_row(key) {
        Some(row) if row.kind == Kind::List => Ok(()),
        Some(_) => Err(invalid(format!("{key} is no list"))),
        None => topic_configs::check(key, None).map_err(invalid),
    }
}

/// A list with these elements, too, or without them.
fn combined(list: &str, elements: &str, is_added: bool) -> String {
    let (mut list, elements) = (parse_list(list), parse_list(elements));
    if is_added {
        for element in elements {
            if !list.contains(&element) {
                list.push(element);
            }
        }
    } else {
        list.retain(|element| !elements.contains(element));
    }
    list.join(",")
}
