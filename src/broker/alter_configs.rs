//! AlterConfigs (key 33) and IncrementalAlterConfigs (key 44): a topic's settings change.
//!
//! Records synced, then storage is told, then the answer. AlterConfigs names all settings that a topic is to have, and
//! takes back the others; IncrementalAlterConfigs changes some (KIP-339). What the broker itself is set to comes from its
//! start, and the broker's own topics stay as they are.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::configs::{BROKER, BROKER_LOGGER, TOPIC};
use super::context::Context;
use super::event::RequestId;
use super::topic_configs::{self, TopicConfigs};
use super::topic_plan::{Refusal, check_name_alone, config_record};
use super::topic_table::{Topic, TopicTable, is_internal};
use super::topics::commit;
use crate::base::config_table::{Kind, Settings, parse_list, topic_row};
use crate::storage::job::Job;
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::internal::metadata::MetadataRecord;
use crate::wire::messages::{
    AlterConfigsRequest, AlterConfigsRequestConfig, AlterConfigsResponse,
    AlterConfigsResponseResource, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsRequestConfig, IncrementalAlterConfigsResponse,
    IncrementalAlterConfigsResponseResource,
};

/// The operations of IncrementalAlterConfigs.
const SET: i8 = 0;
const TAKE_BACK: i8 = 1;
const ADD: i8 = 2;
const REMOVE: i8 = 3;

/// A resource as a request names it: what it is, and its name.
type Named<'r> = (i8, &'r str);

/// A client names all settings that there are to be.
pub fn replace(
    ctx: &mut Context<'_>,
    table: &mut TopicTable,
    id: RequestId,
    request: &AlterConfigsRequest,
) {
    let resources = request.resources.iter();
    let twice = named_twice(resources.map(|r| (r.resource_type, r.resource_name.as_str())));
    let mut responses = Vec::new();
    for resource in &request.resources {
        let named = (resource.resource_type, resource.resource_name.as_str());
        let wanted = |_: &Topic, _: &Settings| replaced(&resource.configs);
        let altered = once(&twice, named)
            .and_then(|()| alter(ctx, table, named, request.validate_only, wanted));
        let (error_code, error_message) = in_words(altered);
        let (resource_type, resource_name) = (named.0, named.1.to_owned());
        responses.push(AlterConfigsResponseResource {
            error_code,
            error_message,
            resource_type,
            resource_name,
        });
    }
    let response = AlterConfigsResponse { responses, ..AlterConfigsResponse::default() };
    ctx.reply_after(ctx.journal.end(), id, response);
}

/// A client changes single settings.
pub fn change(
    ctx: &mut Context<'_>,
    table: &mut TopicTable,
    id: RequestId,
    request: &IncrementalAlterConfigsRequest,
) {
    let resources = request.resources.iter();
    let twice = named_twice(resources.map(|r| (r.resource_type, r.resource_name.as_str())));
    let mut responses = Vec::new();
    for resource in &request.resources {
        let named = (resource.resource_type, resource.resource_name.as_str());
        let wanted = |topic: &Topic, settings: &Settings| {
            changed(&topic.configs, settings, &resource.configs)
        };
        let altered = once(&twice, named)
            .and_then(|()| alter(ctx, table, named, request.validate_only, wanted));
        let (error_code, error_message) = in_words(altered);
        let (resource_type, resource_name) = (named.0, named.1.to_owned());
        responses.push(IncrementalAlterConfigsResponseResource {
            error_code,
            error_message,
            resource_type,
            resource_name,
        });
    }
    let response =
        IncrementalAlterConfigsResponse { responses, ..IncrementalAlterConfigsResponse::default() };
    ctx.reply_after(ctx.journal.end(), id, response);
}

fn named_twice<'r>(resources: impl Iterator<Item = Named<'r>>) -> BTreeSet<Named<'r>> {
    let mut seen = BTreeSet::new();
    resources.filter(|named| !seen.insert(*named)).collect()
}

fn once(twice: &BTreeSet<Named<'_>>, named: Named<'_>) -> Result<(), Refusal> {
    if twice.contains(&named) {
        return Err((ErrorCode::InvalidRequest, "a resource is named once in a request".into()));
    }
    Ok(())
}

fn in_words(altered: Result<(), Refusal>) -> (i16, Option<String>) {
    match altered {
        Ok(()) => (ErrorCode::None.code(), None),
        Err((error, reason)) => (error.code(), Some(reason)),
    }
}

/// Gives a topic the settings that `wanted` makes of those it has.
fn alter(
    ctx: &mut Context<'_>,
    table: &mut TopicTable,
    named: Named<'_>,
    validate_only: bool,
    wanted: impl FnOnce(&Topic, &Settings) -> Result<TopicConfigs, Refusal>,
) -> Result<(), Refusal> {
    let topic = find(ctx, table, named)?;
    let wanted = wanted(topic, &ctx.options.settings)?;
    let records = differences(topic, &wanted);
    let refuse = |reason| (ErrorCode::InvalidConfig, reason);
    for record in &records {
        if let MetadataRecord::Config(config) = record {
            let value = config.value.as_deref();
            value
                .map_or(Ok(()), |value| topic_configs::check(&config.name, Some(value)))
                .map_err(refuse)?;
        }
    }
    topic_configs::check_together(&wanted, &ctx.options.settings).map_err(refuse)?;
    if validate_only || records.is_empty() {
        return Ok(());
    }
    if ctx.journal.is_full() {
        return Err((ErrorCode::KafkaStorageError, "the disk is full".into()));
    }
    let before = Arc::clone(&topic.log_config);
    commit(ctx, table, &records)?;
    let topic = find(ctx, table, named)?;
    if topic.log_config != before {
        for partition in topic.partition_ids() {
            let config = Arc::clone(&topic.log_config);
            ctx.job_after(topic.position, Job::Configure { partition, config });
        }
    }
    Ok(())
}

/// The topic whose settings may be changed.
fn find<'t>(
    ctx: &Context<'_>,
    table: &'t TopicTable,
    (kind, name): Named<'_>,
) -> Result<&'t Topic, Refusal> {
    let refuse = |error, reason: String| Err((error, reason));
    match kind {
        TOPIC if name.is_empty() => {
            let reason = "there are no settings of all topics together";
            return refuse(ErrorCode::InvalidRequest, reason.into());
        }
        TOPIC => {}
        BROKER | BROKER_LOGGER if name.is_empty() || name == ctx.options.node_id.to_string() => {
            let reason = "the broker's settings come from its start, and stay until it ends";
            return refuse(ErrorCode::InvalidRequest, reason.into());
        }
        BROKER | BROKER_LOGGER => {
            let reason = format!("this broker is {}, not {name:?}", ctx.options.node_id);
            return refuse(ErrorCode::InvalidRequest, reason);
        }
        other => {
            let reason = format!("resource type {other} has no configuration");
            return refuse(ErrorCode::InvalidRequest, reason);
        }
    }
    check_name_alone(name).map_err(|reason| (ErrorCode::InvalidTopicException, reason))?;
    match table.get(name) {
        Some(topic) if is_internal(name) => {
            let reason = format!("{} is the broker's own", topic.name);
            refuse(ErrorCode::InvalidRequest, reason)
        }
        Some(topic) => Ok(topic),
        None => refuse(ErrorCode::UnknownTopicOrPartition, format!("no topic {name:?}")),
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
    for config in configs {
        let value = value_of(&config.name, config.value.as_deref())?;
        if wanted.insert(config.name.clone(), value.to_owned()).is_some() {
            return Err(repeated(&config.name));
        }
    }
    Ok(wanted)
}

fn changed(
    own: &TopicConfigs,
    settings: &Settings,
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
                let before = topic_configs::value_of(own, settings, key).unwrap_or_default();
                check_is_list(key)?;
                combined(&before, elements, change.config_operation == ADD)
            }
            other => {
                let reason = format!("{key}: there is no operation {other}");
                return Err((ErrorCode::InvalidRequest, reason));
            }
        };
        wanted.insert(key.to_owned(), value);
    }
    Ok(wanted)
}

fn value_of<'c>(key: &str, value: Option<&'c str>) -> Result<&'c str, Refusal> {
    value.ok_or_else(|| (ErrorCode::InvalidRequest, format!("{key}: null is not a value")))
}

fn repeated(key: &str) -> Refusal {
    (ErrorCode::InvalidRequest, format!("{key} is named twice"))
}

fn check_is_list(key: &str) -> Result<(), Refusal> {
    match topic_row(key) {
        Some(row) if row.kind == Kind::List => Ok(()),
        Some(_) => Err((ErrorCode::InvalidConfig, format!("{key} is no list"))),
        None => Err((ErrorCode::InvalidConfig, format!("unknown topic configuration {key:?}"))),
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
