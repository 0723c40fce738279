//! Kafka's error codes: what stands in a message's `error_code`.
//!
//! Messages keep the plain number, since a newer peer may send one that is not listed here.

use std::fmt;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal, $retry:ident;)*) => {
        /// An error that has a place in the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ErrorCode { $( $(#[$doc])* $variant = $code, )* }

        impl ErrorCode {
            /// Every code, in order.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant),*];

            /// The error with this number, if it is known.
            #[must_use]
            pub fn from_code(code: i16) -> Option<ErrorCode> {
                match code { $($code => Some(ErrorCode::$variant),)* _ => None }
            }

            /// Kafka's name for it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(ErrorCode::$variant => $name,)* }
            }

            /// Whether a client tries again by itself.
            #[must_use]
            pub fn retriable(self) -> bool {
                match self { $(ErrorCode::$variant => error_codes!(@$retry),)* }
            }
        }
    };
    (@again) => { true };
    (@final) => { false };
}

error_codes! {
    /// The broker failed in a way that has no code of its own.
    UnknownServerError = -1, "UNKNOWN_SERVER_ERROR", final;
    /// No error.
    None = 0, "NONE", final;
    /// The offset lies outside the log.
    OffsetOutOfRange = 1, "OFFSET_OUT_OF_RANGE", final;
    /// A batch is damaged: checksum, size or format.
    CorruptMessage = 2, "CORRUPT_MESSAGE", again;
    /// No such topic or partition, by name.
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION", again;
    /// The size asked for is not legal.
    InvalidFetchSize = 4, "INVALID_FETCH_SIZE", final;
    /// The partition has no leader for the moment.
    LeaderNotAvailable = 5, "LEADER_NOT_AVAILABLE", again;
    /// Another broker leads the partition.
    NotLeaderOrFollower = 6, "NOT_LEADER_OR_FOLLOWER", again;
    /// The time given in the request is over.
    RequestTimedOut = 7, "REQUEST_TIMED_OUT", again;
    /// The broker is not there.
    BrokerNotAvailable = 8, "BROKER_NOT_AVAILABLE", final;
    /// The replica is not there.
    ReplicaNotAvailable = 9, "REPLICA_NOT_AVAILABLE", again;
    /// A batch is larger than the topic allows.
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE", final;
    /// The controller that speaks has been replaced.
    StaleControllerEpoch = 11, "STALE_CONTROLLER_EPOCH", final;
    /// The text stored with a commit is too long.
    OffsetMetadataTooLarge = 12, "OFFSET_METADATA_TOO_LARGE", final;
    /// The connection broke before the answer.
    NetworkException = 13, "NETWORK_EXCEPTION", again;
    /// The coordinator still reads its log.
    CoordinatorLoadInProgress = 14, "COORDINATOR_LOAD_IN_PROGRESS", again;
    /// The coordinator is not up.
    CoordinatorNotAvailable = 15, "COORDINATOR_NOT_AVAILABLE", again;
    /// Another broker coordinates this group or transactional id.
    NotCoordinator = 16, "NOT_COORDINATOR", again;
    /// The topic's name is not legal, or nobody may write to it.
    InvalidTopicException = 17, "INVALID_TOPIC_EXCEPTION", final;
    /// The records together are larger than a segment.
    RecordListTooLarge = 18, "RECORD_LIST_TOO_LARGE", final;
    /// Too few replicas are in sync: nothing was written.
    NotEnoughReplicas = 19, "NOT_ENOUGH_REPLICAS", again;
    /// Too few replicas are in sync: it was written to fewer.
    NotEnoughReplicasAfterAppend = 20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", again;
    /// `acks` is none of -1, 0 and 1.
    InvalidRequiredAcks = 21, "INVALID_REQUIRED_ACKS", final;
    /// The generation is not the group's.
    IllegalGeneration = 22, "ILLEGAL_GENERATION", final;
    /// The member supports no protocol that all others do.
    InconsistentGroupProtocol = 23, "INCONSISTENT_GROUP_PROTOCOL", final;
    /// The group's name is not legal.
    InvalidGroupId = 24, "INVALID_GROUP_ID", final;
    /// The group has no such member.
    UnknownMemberId = 25, "UNKNOWN_MEMBER_ID", final;
    /// The session timeout is outside the broker's bounds.
    InvalidSessionTimeout = 26, "INVALID_SESSION_TIMEOUT", final;
    /// The group rebalances: join again.
    RebalanceInProgress = 27, "REBALANCE_IN_PROGRESS", final;
    /// The commit is too large.
    InvalidCommitOffsetSize = 28, "INVALID_COMMIT_OFFSET_SIZE", final;
    /// The client may not do this with the topic.
    TopicAuthorizationFailed = 29, "TOPIC_AUTHORIZATION_FAILED", final;
    /// The client may not do this with the group.
    GroupAuthorizationFailed = 30, "GROUP_AUTHORIZATION_FAILED", final;
    /// The client may not do this with the cluster.
    ClusterAuthorizationFailed = 31, "CLUSTER_AUTHORIZATION_FAILED", final;
    /// A record's timestamp is outside the topic's bounds.
    InvalidTimestamp = 32, "INVALID_TIMESTAMP", final;
    /// The SASL mechanism is not offered.
    UnsupportedSaslMechanism = 33, "UNSUPPORTED_SASL_MECHANISM", final;
    /// The request does not belong here in the SASL exchange.
    IllegalSaslState = 34, "ILLEGAL_SASL_STATE", final;
    /// The version of the request is not served.
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION", final;
    /// There is a topic of this name.
    TopicAlreadyExists = 36, "TOPIC_ALREADY_EXISTS", final;
    /// The number of partitions is not legal.
    InvalidPartitions = 37, "INVALID_PARTITIONS", final;
    /// The number of replicas is not legal, or there are too few brokers.
    InvalidReplicationFactor = 38, "INVALID_REPLICATION_FACTOR", final;
    /// The places chosen for the replicas are not legal.
    InvalidReplicaAssignment = 39, "INVALID_REPLICA_ASSIGNMENT", final;
    /// A setting is not legal.
    InvalidConfig = 40, "INVALID_CONFIG", final;
    /// Another broker is the controller.
    NotController = 41, "NOT_CONTROLLER", again;
    /// The request contradicts itself.
    InvalidRequest = 42, "INVALID_REQUEST", final;
    /// The log's format is too old for it.
    UnsupportedForMessageFormat = 43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", final;
    /// The operator's policy forbids it.
    PolicyViolation = 44, "POLICY_VIOLATION", final;
    /// A batch's sequence number is not the next one.
    OutOfOrderSequenceNumber = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER", final;
    /// The batch was written before.
    DuplicateSequenceNumber = 46, "DUPLICATE_SEQUENCE_NUMBER", final;
    /// The producer's epoch is older than the partition's.
    InvalidProducerEpoch = 47, "INVALID_PRODUCER_EPOCH", final;
    /// The transaction is in a state that does not allow it.
    InvalidTxnState = 48, "INVALID_TXN_STATE", final;
    /// The producer id is not the one of the transactional id.
    InvalidProducerIdMapping = 49, "INVALID_PRODUCER_ID_MAPPING", final;
    /// The transaction timeout is larger than the broker allows.
    InvalidTransactionTimeout = 50, "INVALID_TRANSACTION_TIMEOUT", final;
    /// The previous transaction is still being ended.
    ConcurrentTransactions = 51, "CONCURRENT_TRANSACTIONS", again;
    /// The coordinator that speaks has been replaced.
    TransactionCoordinatorFenced = 52, "TRANSACTION_COORDINATOR_FENCED", final;
    /// The client may not use the transactional id.
    TransactionalIdAuthorizationFailed = 53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", final;
    /// Security is switched off.
    SecurityDisabled = 54, "SECURITY_DISABLED", final;
    /// It was not tried, because something else in the request failed.
    OperationNotAttempted = 55, "OPERATION_NOT_ATTEMPTED", final;
    /// The disk failed.
    KafkaStorageError = 56, "KAFKA_STORAGE_ERROR", again;
    /// The log directory does not exist.
    LogDirNotFound = 57, "LOG_DIR_NOT_FOUND", final;
    /// The SASL exchange failed.
    SaslAuthenticationFailed = 58, "SASL_AUTHENTICATION_FAILED", final;
    /// The producer is not known to the partition, perhaps forgotten.
    UnknownProducerId = 59, "UNKNOWN_PRODUCER_ID", final;
    /// The partition is being moved.
    ReassignmentInProgress = 60, "REASSIGNMENT_IN_PROGRESS", final;
    /// Delegation tokens are not offered here.
    DelegationTokenAuthDisabled = 61, "DELEGATION_TOKEN_AUTH_DISABLED", final;
    /// There is no such delegation token.
    DelegationTokenNotFound = 62, "DELEGATION_TOKEN_NOT_FOUND", final;
    /// The delegation token belongs to another.
    DelegationTokenOwnerMismatch = 63, "DELEGATION_TOKEN_OWNER_MISMATCH", final;
    /// Delegation tokens cannot be asked for on this connection.
    DelegationTokenRequestNotAllowed = 64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", final;
    /// The client may not use the delegation token.
    DelegationTokenAuthorizationFailed = 65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", final;
    /// The delegation token has expired.
    DelegationTokenExpired = 66, "DELEGATION_TOKEN_EXPIRED", final;
    /// The principal is of a kind that is not supported.
    InvalidPrincipalType = 67, "INVALID_PRINCIPAL_TYPE", final;
    /// The group has members.
    NonEmptyGroup = 68, "NON_EMPTY_GROUP", final;
    /// There is no such group.
    GroupIdNotFound = 69, "GROUP_ID_NOT_FOUND", final;
    /// There is no such fetch session.
    FetchSessionIdNotFound = 70, "FETCH_SESSION_ID_NOT_FOUND", again;
    /// The request is not the next one of its fetch session.
    InvalidFetchSessionEpoch = 71, "INVALID_FETCH_SESSION_EPOCH", again;
    /// The leader has no listener of the client's kind.
    ListenerNotFound = 72, "LISTENER_NOT_FOUND", again;
    /// The broker's configuration forbids deleting topics.
    TopicDeletionDisabled = 73, "TOPIC_DELETION_DISABLED", final;
    /// The leader epoch sent is older than the partition's.
    FencedLeaderEpoch = 74, "FENCED_LEADER_EPOCH", again;
    /// The leader epoch sent is newer than the partition's.
    UnknownLeaderEpoch = 75, "UNKNOWN_LEADER_EPOCH", again;
    /// The client's version cannot take this compression.
    UnsupportedCompressionType = 76, "UNSUPPORTED_COMPRESSION_TYPE", final;
    /// The broker's registration has been replaced.
    StaleBrokerEpoch = 77, "STALE_BROKER_EPOCH", final;
    /// The offset is not known yet, after a change of leader.
    OffsetNotAvailable = 78, "OFFSET_NOT_AVAILABLE", again;
    /// Join again with the member id that comes with this error.
    MemberIdRequired = 79, "MEMBER_ID_REQUIRED", final;
    /// The preferred leader is not up.
    PreferredLeaderNotAvailable = 80, "PREFERRED_LEADER_NOT_AVAILABLE", again;
    /// The group is full.
    GroupMaxSizeReached = 81, "GROUP_MAX_SIZE_REACHED", final;
    /// Another member has taken this static name.
    FencedInstanceId = 82, "FENCED_INSTANCE_ID", final;
    /// No replica may become leader.
    EligibleLeadersNotAvailable = 83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", again;
    /// The leader is already the right one.
    ElectionNotNeeded = 84, "ELECTION_NOT_NEEDED", again;
    /// The partition is not being moved.
    NoReassignmentInProgress = 85, "NO_REASSIGNMENT_IN_PROGRESS", final;
    /// A member reads the topic, so its positions stay.
    GroupSubscribedToTopic = 86, "GROUP_SUBSCRIBED_TO_TOPIC", final;
    /// A record is not legal: the batch is refused.
    InvalidRecord = 87, "INVALID_RECORD", final;
    /// A transaction may still change the position.
    UnstableOffsetCommit = 88, "UNSTABLE_OFFSET_COMMIT", again;
    /// A quota is used up: try later.
    ThrottlingQuotaExceeded = 89, "THROTTLING_QUOTA_EXCEEDED", again;
    /// A newer producer has taken the transactional id.
    ProducerFenced = 90, "PRODUCER_FENCED", final;
    /// There is no such resource.
    ResourceNotFound = 91, "RESOURCE_NOT_FOUND", final;
    /// It is named twice in the request.
    DuplicateResource = 92, "DUPLICATE_RESOURCE", final;
    /// The credential is not acceptable.
    UnacceptableCredential = 93, "UNACCEPTABLE_CREDENTIAL", final;
    /// The set of voters differs.
    InconsistentVoterSet = 94, "INCONSISTENT_VOTER_SET", final;
    /// The feature cannot be moved to this level.
    InvalidUpdateVersion = 95, "INVALID_UPDATE_VERSION", final;
    /// The feature could not be changed.
    FeatureUpdateFailed = 96, "FEATURE_UPDATE_FAILED", final;
    /// A forwarded principal cannot be read.
    PrincipalDeserializationFailure = 97, "PRINCIPAL_DESERIALIZATION_FAILURE", final;
    /// There is no such snapshot.
    SnapshotNotFound = 98, "SNAPSHOT_NOT_FOUND", final;
    /// The position lies outside the snapshot.
    PositionOutOfRange = 99, "POSITION_OUT_OF_RANGE", final;
    /// No such topic, by id.
    UnknownTopicId = 100, "UNKNOWN_TOPIC_ID", again;
    /// The broker's number is in use.
    DuplicateBrokerRegistration = 101, "DUPLICATE_BROKER_REGISTRATION", final;
    /// No broker with this number has registered.
    BrokerIdNotRegistered = 102, "BROKER_ID_NOT_REGISTERED", final;
    /// The topic's id is not the one that the session or the log has.
    InconsistentTopicId = 103, "INCONSISTENT_TOPIC_ID", again;
    /// The cluster's id is another one.
    InconsistentClusterId = 104, "INCONSISTENT_CLUSTER_ID", final;
    /// There is no such transactional id.
    TransactionalIdNotFound = 105, "TRANSACTIONAL_ID_NOT_FOUND", final;
    /// A fetch session mixes topic names and ids.
    FetchSessionTopicIdError = 106, "FETCH_SESSION_TOPIC_ID_ERROR", again;
    /// The replica may not join the set in sync.
    IneligibleReplica = 107, "INELIGIBLE_REPLICA", final;
    /// Another leader was elected meanwhile.
    NewLeaderElected = 108, "NEW_LEADER_ELECTED", final;
    /// The offset has been moved to tiered storage.
    OffsetMovedToTieredStorage = 109, "OFFSET_MOVED_TO_TIERED_STORAGE", final;
    /// The member's epoch is too old: it was put out of its group.
    FencedMemberEpoch = 110, "FENCED_MEMBER_EPOCH", final;
    /// The static name is still held by another member.
    UnreleasedInstanceId = 111, "UNRELEASED_INSTANCE_ID", final;
    /// None of the member's assignors is supported.
    UnsupportedAssignor = 112, "UNSUPPORTED_ASSIGNOR", final;
    /// The member's epoch is not the newest.
    StaleMemberEpoch = 113, "STALE_MEMBER_EPOCH", final;
    /// The request belongs to another kind of endpoint.
    MismatchedEndpointType = 114, "MISMATCHED_ENDPOINT_TYPE", final;
    /// The kind of endpoint is not supported.
    UnsupportedEndpointType = 115, "UNSUPPORTED_ENDPOINT_TYPE", final;
    /// There is no such controller.
    UnknownControllerId = 116, "UNKNOWN_CONTROLLER_ID", final;
    /// There is no such telemetry subscription.
    UnknownSubscriptionId = 117, "UNKNOWN_SUBSCRIPTION_ID", final;
    /// The telemetry sent is too large.
    TelemetryTooLarge = 118, "TELEMETRY_TOO_LARGE", final;
    /// The registration is not legal.
    InvalidRegistration = 119, "INVALID_REGISTRATION", final;
    /// The transaction cannot go on: abort it and begin anew.
    TransactionAbortable = 120, "TRANSACTION_ABORTABLE", final;
    /// The record is not in a state that allows it.
    InvalidRecordState = 121, "INVALID_RECORD_STATE", final;
    /// There is no such share session.
    ShareSessionNotFound = 122, "SHARE_SESSION_NOT_FOUND", again;
    /// The request is not the next one of its share session.
    InvalidShareSessionEpoch = 123, "INVALID_SHARE_SESSION_EPOCH", again;
    /// The share partition's state has a newer epoch.
    FencedStateEpoch = 124, "FENCED_STATE_EPOCH", final;
    /// The voter's key is another one.
    InvalidVoterKey = 125, "INVALID_VOTER_KEY", final;
    /// There is such a voter.
    DuplicateVoter = 126, "DUPLICATE_VOTER", final;
    /// There is no such voter.
    VoterNotFound = 127, "VOTER_NOT_FOUND", final;
    /// The regular expression is not legal.
    InvalidRegularExpression = 128, "INVALID_REGULAR_EXPRESSION", final;
    /// The client is to begin anew from its bootstrap addresses.
    RebootstrapRequired = 129, "REBOOTSTRAP_REQUIRED", final;
    /// The topology of a streams group is not legal.
    StreamsInvalidTopology = 130, "STREAMS_INVALID_TOPOLOGY", final;
    /// The epoch of a streams topology is not legal.
    StreamsInvalidTopologyEpoch = 131, "STREAMS_INVALID_TOPOLOGY_EPOCH", final;
    /// The epoch of a streams topology is too old.
    StreamsTopologyFenced = 132, "STREAMS_TOPOLOGY_FENCED", final;
    /// There are too many share sessions.
    ShareSessionLimitReached = 133, "SHARE_SESSION_LIMIT_REACHED", again;
    /// The group could not be deleted.
    GroupDeletionFailed = 134, "GROUP_DELETION_FAILED", final;
    /// The description of a streams topology could not be stored.
    StreamsTopologyDescriptionUpdateFailed = 135, "STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED", final;
    /// No controller with this number has registered.
    ControllerIdNotRegistered = 136, "CONTROLLER_ID_NOT_REGISTERED", final;
}

impl ErrorCode {
    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> i16 {
        self as i16
    }
}

impl From<ErrorCode> for i16 {
    fn from(error: ErrorCode) -> i16 {
        error.code()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
