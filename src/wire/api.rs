//! The table of requests that are served: key, name, versions, first flexible version, request, response.
//!
//! Everything that must agree about a request is printed from its row: which header it has, how it is read and
//! answered, what ApiVersions says, the metric's label, the line in the README. A row is an obligation: the
//! broker's dispatch matches [`Request`] exhaustively, so what is listed is implemented.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::client::{lower_request, raise_response};
use super::error::{DecodeError, EncodeError, Problem};
use super::message::Wire;
use super::messages::*;
use super::normalize::{normalize_request, normalize_response};
use super::outline::Show;
use super::reader::Reader;
use super::writer::Writer;
use crate::base::payload::{Bytes, Payload};

macro_rules! apis {
    ($($name:ident = $key:literal, $versions:expr, flexible $flexible:literal, $request:ty => $response:ty;)*) => {
        /// A request that is served.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ApiKey { $(
            #[doc = concat!("Key ", stringify!($key), ", versions ", stringify!($versions), ".")]
            $name = $key,
        )* }

        impl ApiKey {
            /// Every request that is served, in order of keys.
            pub const ALL: &'static [ApiKey] = &[$(ApiKey::$name),*];

            /// The request with this key, if it is served.
            #[must_use]
            pub fn from_key(key: i16) -> Option<ApiKey> {
                match key { $($key => Some(ApiKey::$name),)* _ => None }
            }

            /// The key on the wire.
            #[must_use]
            pub fn key(self) -> i16 {
                match self { $(ApiKey::$name => $key,)* }
            }

            /// Kafka's name for it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(ApiKey::$name => stringify!($name),)* }
            }

            /// The versions that are served.
            #[must_use]
            pub fn versions(self) -> RangeInclusive<i16> {
                match self { $(ApiKey::$name => $versions,)* }
            }

            /// The first flexible version (KIP-482).
            #[must_use]
            pub fn flexible_from(self) -> i16 {
                match self { $(ApiKey::$name => $flexible,)* }
            }
        }

        /// A request's body.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Request { $(
            #[doc = concat!("Key ", stringify!($key), ".")]
            $name(Box<$request>),
        )* }

        /// A response's body.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Response { $(
            #[doc = concat!("Key ", stringify!($key), ".")]
            $name(Box<$response>),
        )* }

        impl Request {
            /// Which request it is.
            #[must_use]
            pub fn api(&self) -> ApiKey {
                match self { $(Request::$name(_) => ApiKey::$name,)* }
            }

            /// A request with every field at its default.
            #[must_use]
            pub fn default_of(api: ApiKey) -> Request {
                match api { $(ApiKey::$name => Request::$name(Box::default()),)* }
            }

            /// The body as text for people.
            #[must_use]
            pub fn body(&self) -> &dyn Show {
                match self { $(Request::$name(body) => &**body,)* }
            }

            fn read(api: ApiKey, r: &mut Reader<'_>) -> Result<Request, DecodeError> {
                Ok(match api { $(ApiKey::$name => Request::$name(Box::new(Wire::read(r)?)),)* })
            }

            fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
                match self { $(Request::$name(body) => body.write(w),)* }
            }
        }

        impl Response {
            /// Which request it answers.
            #[must_use]
            pub fn api(&self) -> ApiKey {
                match self { $(Response::$name(_) => ApiKey::$name,)* }
            }

            /// A response with every field at its default.
            #[must_use]
            pub fn default_of(api: ApiKey) -> Response {
                match api { $(ApiKey::$name => Response::$name(Box::default()),)* }
            }

            /// The body as text for people.
            #[must_use]
            pub fn body(&self) -> &dyn Show {
                match self { $(Response::$name(body) => &**body,)* }
            }

            fn read(api: ApiKey, r: &mut Reader<'_>) -> Result<Response, DecodeError> {
                Ok(match api { $(ApiKey::$name => Response::$name(Box::new(Wire::read(r)?)),)* })
            }

            fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
                match self { $(Response::$name(body) => body.write(w),)* }
            }
        }

        $(
            impl From<$request> for Request {
                fn from(body: $request) -> Request {
                    Request::$name(Box::new(body))
                }
            }
            impl From<$response> for Response {
                fn from(body: $response) -> Response {
                    Response::$name(Box::new(body))
                }
            }
        )*
    };
}

apis! {
    Produce = 0, 0..=13, flexible 9, ProduceRequest => ProduceResponse;
    Fetch = 1, 0..=18, flexible 12, FetchRequest => FetchResponse;
    ListOffsets = 2, 0..=11, flexible 6, ListOffsetsRequest => ListOffsetsResponse;
    Metadata = 3, 0..=13, flexible 9, MetadataRequest => MetadataResponse;
    OffsetCommit = 8, 0..=10, flexible 8, OffsetCommitRequest => OffsetCommitResponse;
    OffsetFetch = 9, 0..=10, flexible 6, OffsetFetchRequest => OffsetFetchResponse;
    FindCoordinator = 10, 0..=6, flexible 3, FindCoordinatorRequest => FindCoordinatorResponse;
    JoinGroup = 11, 0..=9, flexible 6, JoinGroupRequest => JoinGroupResponse;
    Heartbeat = 12, 0..=4, flexible 4, HeartbeatRequest => HeartbeatResponse;
    LeaveGroup = 13, 0..=5, flexible 4, LeaveGroupRequest => LeaveGroupResponse;
    SyncGroup = 14, 0..=5, flexible 4, SyncGroupRequest => SyncGroupResponse;
    DescribeGroups = 15, 0..=6, flexible 5, DescribeGroupsRequest => DescribeGroupsResponse;
    ListGroups = 16, 0..=5, flexible 3, ListGroupsRequest => ListGroupsResponse;
    ApiVersions = 18, 0..=5, flexible 3, ApiVersionsRequest => ApiVersionsResponse;
    CreateTopics = 19, 0..=7, flexible 5, CreateTopicsRequest => CreateTopicsResponse;
    DeleteTopics = 20, 0..=6, flexible 4, DeleteTopicsRequest => DeleteTopicsResponse;
    DeleteRecords = 21, 0..=2, flexible 2, DeleteRecordsRequest => DeleteRecordsResponse;
    InitProducerId = 22, 0..=5, flexible 2, InitProducerIdRequest => InitProducerIdResponse;
    OffsetForLeaderEpoch = 23, 0..=4, flexible 4, OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse;
    DescribeConfigs = 32, 0..=4, flexible 4, DescribeConfigsRequest => DescribeConfigsResponse;
    AlterConfigs = 33, 0..=2, flexible 2, AlterConfigsRequest => AlterConfigsResponse;
    DescribeLogDirs = 35, 0..=5, flexible 2, DescribeLogDirsRequest => DescribeLogDirsResponse;
    CreatePartitions = 37, 0..=3, flexible 2, CreatePartitionsRequest => CreatePartitionsResponse;
    DeleteGroups = 42, 0..=3, flexible 2, DeleteGroupsRequest => DeleteGroupsResponse;
    IncrementalAlterConfigs = 44, 0..=1, flexible 1, IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse;
    OffsetDelete = 47, 0..=0, flexible 1, OffsetDeleteRequest => OffsetDeleteResponse;
    DescribeCluster = 60, 0..=2, flexible 0, DescribeClusterRequest => DescribeClusterResponse;
}

impl ApiKey {
    /// Whether this version of the request and its answer is flexible.
    #[must_use]
    pub fn is_flexible(self, version: i16) -> bool {
        version >= self.flexible_from()
    }

    /// Whether the answer's header has tagged fields. ApiVersions never does: a client must be able to read it
    /// before it knows the broker's versions.
    #[must_use]
    pub fn response_header_is_flexible(self, version: i16) -> bool {
        self != ApiKey::ApiVersions && self.is_flexible(version)
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The first eight bytes of every request. Whether the version is served is decided from them alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Which request.
    pub api_key: i16,
    /// In which version.
    pub version: i16,
    /// The client's number for it, to be returned.
    pub correlation_id: i32,
}

impl Prefix {
    /// Reads the prefix of a frame.
    ///
    /// # Errors
    /// If the frame is shorter.
    pub fn read(r: &mut Reader<'_>) -> Result<Prefix, DecodeError> {
        let read = |r: &mut Reader<'_>| {
            Ok(Prefix { api_key: r.i16()?, version: r.i16()?, correlation_id: r.i32()? })
        };
        read(r).map_err(|error: DecodeError| error.at("RequestHeader"))
    }
}

/// A whole request: header and body.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestFrame {
    /// The version of the body.
    pub version: i16,
    /// The client's number for it.
    pub correlation_id: i32,
    /// The client's name for itself. Never in the compact form, not even in a flexible header.
    pub client_id: Option<Arc<str>>,
    /// The body, normalized unless it was read plainly: see [`normalize_request`].
    pub request: Request,
    /// Number of bytes after the body, which Kafka tolerates.
    pub trailing: usize,
}

impl RequestFrame {
    /// Reads a frame without its length.
    ///
    /// # Errors
    /// If the bytes are not a request that is served.
    pub fn decode(frame: &Bytes) -> Result<RequestFrame, DecodeError> {
        RequestFrame::decode_next(frame, None)
    }

    /// As [`RequestFrame::decode`], of a client that has given this name for itself before and will do so again.
    ///
    /// # Errors
    /// If the bytes are not a request that is served.
    pub fn decode_next(
        frame: &Bytes,
        known: Option<&Arc<str>>,
    ) -> Result<RequestFrame, DecodeError> {
        let mut whole = RequestFrame::read_frame(frame, known)?;
        normalize_request(&mut whole.request, whole.version);
        Ok(whole)
    }

    /// As [`RequestFrame::decode`], but with every field where the version has it. For tools.
    ///
    /// # Errors
    /// If the bytes are not a request that is served.
    pub fn decode_plain(frame: &Bytes) -> Result<RequestFrame, DecodeError> {
        RequestFrame::read_frame(frame, None)
    }

    fn read_frame(frame: &Bytes, known: Option<&Arc<str>>) -> Result<RequestFrame, DecodeError> {
        let mut r = Reader::of_peer(frame, 0, false);
        RequestFrame::read(&mut r, known).map_err(|error| error.at_byte(r.position()))
    }

    fn read(r: &mut Reader<'_>, known: Option<&Arc<str>>) -> Result<RequestFrame, DecodeError> {
        let prefix = Prefix::read(r)?;
        let place = |problem| DecodeError::new(problem).at("RequestHeader");
        let api = ApiKey::from_key(prefix.api_key).ok_or(place(Problem::UnknownApi))?;
        if !api.versions().contains(&prefix.version) {
            return Err(place(Problem::UnknownVersion));
        }
        let flexible = api.is_flexible(prefix.version);
        r.switch(prefix.version, flexible);
        let client_id = read_client_id(r, known).map_err(|e| e.at("RequestHeader.client_id"))?;
        r.tagged(&mut |_, _| Ok(false)).map_err(|e| e.at("RequestHeader.tags"))?;
        let request = Request::read(api, r)?;
        let Prefix { version, correlation_id, .. } = prefix;
        Ok(RequestFrame { version, correlation_id, client_id, request, trailing: r.remaining() })
    }

    /// Writes a frame with its length, as a client does.
    ///
    /// # Errors
    /// If the request has no form in its version.
    pub fn encode(&self) -> Result<Vec<Payload>, EncodeError> {
        let mut request = self.request.clone();
        lower_request(&mut request, self.version);
        RequestFrame { request, client_id: self.client_id.clone(), ..*self }.encode_plain()
    }

    /// As [`RequestFrame::encode`], of a request with every field where the version has it. For tools.
    ///
    /// # Errors
    /// If the request has no form in its version.
    pub fn encode_plain(&self) -> Result<Vec<Payload>, EncodeError> {
        let api = self.request.api();
        let flexible = api.is_flexible(self.version);
        let mut w = Writer::frame(self.version, false);
        w.i16(api.key());
        w.i16(self.version);
        w.i32(self.correlation_id);
        w.nullable_string(self.client_id.as_deref())?;
        w.switch(self.version, flexible);
        w.tagged(&mut Vec::new())?;
        self.request.write(&mut w)?;
        w.into_frame()
    }
}

/// The client id is a string in the old form in every header version. Old clients send any bytes in it. It is hardly ever
/// another than the known one, which is then shared.
fn read_client_id(
    r: &mut Reader<'_>,
    known: Option<&Arc<str>>,
) -> Result<Option<Arc<str>>, DecodeError> {
    let length = r.i16()?;
    let Ok(length) = usize::try_from(length) else {
        let is_null = length == -1;
        return if is_null { Ok(None) } else { Err(DecodeError::new(Problem::NegativeLength)) };
    };
    let name = r.shared(length)?;
    let known = known.filter(|known| known.as_bytes() == &*name);
    Ok(Some(known.map_or_else(|| String::from_utf8_lossy(&name).into(), Arc::clone)))
}

/// Writes the answer to a request of this version, as a frame with its length.
///
/// # Errors
/// If the answer has no form in this version: a mistake of the broker.
pub fn encode_response(
    mut response: Response,
    version: i16,
    correlation_id: i32,
) -> Result<Vec<Payload>, EncodeError> {
    normalize_response(&mut response, version);
    encode_response_plain(&response, version, correlation_id)
}

/// As [`encode_response`], of an answer with every field where the version has it. For tools.
///
/// # Errors
/// If the answer has no form in this version.
pub fn encode_response_plain(
    response: &Response,
    version: i16,
    correlation_id: i32,
) -> Result<Vec<Payload>, EncodeError> {
    let api = response.api();
    let mut w = Writer::frame(version, api.response_header_is_flexible(version));
    w.i32(correlation_id);
    w.tagged(&mut Vec::new())?;
    w.switch(version, api.is_flexible(version));
    response.write(&mut w)?;
    w.into_frame()
}

/// Reads an answer, without its length, to a request of this version, as a client does.
///
/// # Errors
/// If the bytes are not such an answer.
pub fn decode_response(
    frame: &Bytes,
    api: ApiKey,
    version: i16,
) -> Result<(i32, Response), DecodeError> {
    let (correlation_id, mut response) = decode_response_plain(frame, api, version)?;
    raise_response(&mut response, version);
    Ok((correlation_id, response))
}

/// As [`decode_response`], but with every field where the version has it. For tools.
///
/// # Errors
/// If the bytes are not such an answer.
pub fn decode_response_plain(
    frame: &Bytes,
    api: ApiKey,
    version: i16,
) -> Result<(i32, Response), DecodeError> {
    let mut r = Reader::new(frame, version, api.response_header_is_flexible(version));
    read_response(&mut r, api, version).map_err(|error| error.at_byte(r.position()))
}

fn read_response(
    r: &mut Reader<'_>,
    api: ApiKey,
    version: i16,
) -> Result<(i32, Response), DecodeError> {
    if !api.versions().contains(&version) {
        return Err(DecodeError::new(Problem::UnknownVersion).at("ResponseHeader"));
    }
    let correlation_id = r.i32().map_err(|error| error.at("ResponseHeader"))?;
    r.tagged(&mut |_, _| Ok(false)).map_err(|error| error.at("ResponseHeader.tags"))?;
    r.switch(version, api.is_flexible(version));
    let response = Response::read(api, r)?;
    r.finish()?;
    Ok((correlation_id, response))
}
