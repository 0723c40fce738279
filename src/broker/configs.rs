//! DescribeConfigs (key 32): the configuration of topics and of the broker, with where each value comes from.

use super::context::Context;
use super::event::RequestId;
use super::journal::Position;
use super::topic_plan::check_name_alone;
use super::topic_table::TopicTable;
use crate::base::config_table::{Described, broker_rows, quoted, topic_rows};
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::{
    DescribeConfigsRequest, DescribeConfigsRequestResource, DescribeConfigsResponse,
    DescribeConfigsResponseConfig, DescribeConfigsResponseResult, DescribeConfigsResponseSynonym,
};

pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const BROKER_LOGGER: i8 = 8;

const TOO_MUCH: &str = "this is more than one answer may hold: ask for fewer at a time";
/// What a configuration or a synonym takes beside its texts, in bytes.
const ENTRY_BYTES: usize = 64;

/// A client asks for configurations.
pub fn describe(
    ctx: &mut Context<'_>,
    topics: &TopicTable,
    id: RequestId,
    request: &DescribeConfigsRequest,
) {
    let mut room = ctx.options.limits.described_bytes;
    let results = request.resources.iter().map(|resource| {
        let mut result = DescribeConfigsResponseResult {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            error_message: Some(String::new()), // Kafka's way to say that nothing is wrong
            ..DescribeConfigsResponseResult::default()
        };
        let described = match room {
            0 => Err((ErrorCode::InvalidRequest, TOO_MUCH.to_owned())),
            _ => describe_resource(ctx, topics, resource),
        };
        match described {
            Ok(described) => {
                let shown = described.into_iter().filter(|d| is_wanted(resource, d.row.name));
                result.configs = shown.map(|config| answer(request, config)).collect();
                room = room.saturating_sub(result.configs.iter().map(bytes_of).sum());
            }
            Err((error, reason)) => {
                result.error_code = error.code();
                result.error_message = Some(reason);
            }
        }
        result
    });
    let results = results.collect();
    let response = DescribeConfigsResponse { results, ..DescribeConfigsResponse::default() };
    ctx.reply_after(position_of(topics, request), id, response);
}

/// When all that is said of topics is durable, and that others are not there.
fn position_of(topics: &TopicTable, request: &DescribeConfigsRequest) -> Position {
    let named = request.resources.iter().filter(|resource| resource.resource_type == TOPIC);
    let known = named.map(|resource| topics.get(&resource.resource_name));
    let positions = known.map(|topic| topic.map_or(topics.removal(), |topic| topic.position));
    positions.max().unwrap_or_default()
}

/// What a configuration takes in the answer, in bytes.
fn bytes_of(config: &DescribeConfigsResponseConfig) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let synonym = |s: &DescribeConfigsResponseSynonym| ENTRY_BYTES + s.name.len() + text(&s.value);
    ENTRY_BYTES
        + config.name.len()
        + text(&config.value)
        + text(&config.documentation)
        + config.synonyms.iter().map(synonym).sum::<usize>()
}

fn describe_resource(
    ctx: &Context<'_>,
    topics: &TopicTable,
    resource: &DescribeConfigsRequestResource,
) -> Result<Vec<Described>, (ErrorCode, String)> {
    let settings = &ctx.options.settings;
    let name = resource.resource_name.as_str();
    match resource.resource_type {
        TOPIC => {
            check_name_alone(name).map_err(|reason| (ErrorCode::InvalidTopicException, reason))?;
            let unknown =
                || (ErrorCode::UnknownTopicOrPartition, format!("no topic {}", quoted(name)));
            let topic = topics.get(name).ok_or_else(unknown)?;
            let own = |key: &str| topic.configs.get(key).map(String::as_str);
            Ok(topic_rows().map(|row| settings.describe_topic(row, own(row.name))).collect())
        }
        // The name is empty for what is set for all brokers together: nothing is.
        BROKER if name.is_empty() => Ok(Vec::new()),
        BROKER if is_this_broker(ctx, name) => {
            Ok(broker_rows().map(|row| settings.describe_broker(row)).collect())
        }
        BROKER_LOGGER if is_this_broker(ctx, name) => Ok(Vec::new()),
        other => Err(has_no_settings(ctx, other, name)),
    }
}

pub(super) fn is_this_broker(ctx: &Context<'_>, name: &str) -> bool {
    name == ctx.options.node_id.to_string()
}

/// Why a resource that is no topic and not this broker has nothing to show or to change.
pub(super) fn has_no_settings(ctx: &Context<'_>, kind: i8, name: &str) -> (ErrorCode, String) {
    let reason = match kind {
        BROKER | BROKER_LOGGER => {
            format!("this broker is {}, not {}", ctx.options.node_id, quoted(name))
        }
        other => format!("resource type {other} has no configuration"),
    };
    (ErrorCode::InvalidRequest, reason)
}

/// No list of keys asks for all; so does an empty one.
fn is_wanted(resource: &DescribeConfigsRequestResource, key: &str) -> bool {
    let keys = resource.configuration_keys.as_deref().unwrap_or_default();
    keys.is_empty() || keys.iter().any(|wanted| wanted == key)
}

fn answer(request: &DescribeConfigsRequest, config: Described) -> DescribeConfigsResponseConfig {
    let synonyms = if request.include_synonyms { config.synonyms } else { Vec::new() };
    let synonym = |s: crate::base::config_table::Synonym| DescribeConfigsResponseSynonym {
        name: s.name,
        value: s.value,
        source: s.source.number(),
    };
    DescribeConfigsResponseConfig {
        name: config.row.name.to_owned(),
        value: config.value,
        read_only: config.read_only,
        is_default: false, // Said by the source; version 0 is given it on the way out.
        config_source: config.source.number(),
        is_sensitive: config.row.is_sensitive(),
        synonyms: synonyms.into_iter().map(synonym).collect(),
        config_type: config.row.kind.number(),
        documentation: request.include_documentation.then(|| config.row.documentation().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config_table::Settings;
    use crate::wire::api::{ApiKey, Response, encode_response};
    use crate::wire::messages::DescribeConfigsResponseResult;

    #[test]
    fn every_key_can_be_described_in_every_version() {
        let (request, settings) = (DescribeConfigsRequest::default(), Settings::default());
        let topic = topic_rows().map(|row| settings.describe_topic(row, Some("1")));
        let broker = broker_rows().map(|row| settings.describe_broker(row));
        let configs: Vec<_> = topic.chain(broker).map(|d| answer(&request, d)).collect();
        let result = DescribeConfigsResponseResult { configs, ..Default::default() };
        let body = DescribeConfigsResponse { results: vec![result], ..Default::default() };
        for version in ApiKey::DescribeConfigs.versions() {
            let encoded = encode_response(Response::from(body.clone()), version, 1);
            assert!(encoded.is_ok(), "version {version}: {encoded:?}");
        }
    }
}
