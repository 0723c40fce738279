//! DescribeConfigs (key 32), AlterConfigs (key 33) and IncrementalAlterConfigs (key 44): settings of topics, brokers and
//! groups.
//!
//! DescribeConfigs: v1 says where a value comes from and lists its synonyms (KIP-226), where v0 says only whether it is
//! the default; v3 adds types and documentation (KIP-569), v4 is flexible. AlterConfigs: v2 is flexible.
//! IncrementalAlterConfigs (KIP-339): v1 is flexible.

use crate::message;

message! {
    /// Asks for settings of topics, brokers or groups.
    pub struct DescribeConfigsRequest {
        /// By resource.
        [0..] resources: Vec<DescribeConfigsRequestResource>;
        /// Whether to list where each value could have come from (KIP-226).
        [1..] include_synonyms: bool;
        /// Whether to explain each setting (KIP-569).
        [3..] include_documentation: bool;
    }

    /// What is asked of one resource.
    pub struct DescribeConfigsRequestResource {
        /// What it is: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        [0..] resource_type: i8;
        /// Its name; a broker's number.
        [0..] resource_name: String;
        /// The settings wanted; `None`: all.
        [0..] [null 0..] configuration_keys: Option<Vec<String>> = Some(vec![]);
    }

    /// The settings.
    pub struct DescribeConfigsResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [0..] throttle_time_ms: i32;
        /// By resource.
        [0..] results: Vec<DescribeConfigsResponseResult>;
    }

    /// One resource's settings.
    pub struct DescribeConfigsResponseResult {
        /// The error, or 0.
        [0..] error_code: i16;
        /// What went wrong, for people; may be null.
        [0..] [null 0..] error_message: Option<String> = Some(String::new());
        /// What it is: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        [0..] resource_type: i8;
        /// Its name; a broker's number.
        [0..] resource_name: String;
        /// The settings.
        [0..] configs: Vec<DescribeConfigsResponseConfig>;
    }

    /// One setting.
    pub struct DescribeConfigsResponseConfig {
        /// The setting's name.
        [0..] name: String;
        /// The setting's value.
        [0..] [null 0..] value: Option<String> = Some(String::new());
        /// Whether the setting cannot be changed.
        [0..] read_only: bool;
        /// Whether nobody has set it, in v0.
        [0..=0] is_default: bool;
        /// Where the value comes from: 1 topic, 2 broker, 3 all brokers, 4 file, 5 default, … or -1.
        [1.., ignorable] config_source: i8 = -1;
        /// Whether the value is secret and therefore null.
        [0..] is_sensitive: bool;
        /// Where the value could have come from, strongest first.
        [1.., ignorable] synonyms: Vec<DescribeConfigsResponseSynonym>;
        /// What kind of value it is: 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8
        /// class, 9 password.
        [3.., ignorable] config_type: i8;
        /// What the setting does.
        [3.., ignorable] [null 0..] documentation: Option<String> = Some(String::new());
    }

    /// A place where the setting could have come from, strongest first.
    pub struct DescribeConfigsResponseSynonym {
        /// The name it has there.
        [1..] name: String;
        /// The setting's value.
        [1..] [null 0..] value: Option<String> = Some(String::new());
        /// Where that is, as `config_source`.
        [1..] source: i8;
    }

    /// Sets what is named, and takes back everything else that was set.
    pub struct AlterConfigsRequest {
        /// By resource.
        [0..] resources: Vec<AlterConfigsRequestResource>;
        /// Whether only to say what would happen.
        [0..] validate_only: bool;
    }

    /// The settings of one resource, all of them.
    pub struct AlterConfigsRequestResource {
        /// What it is, as for DescribeConfigs.
        [0..] resource_type: i8;
        /// Its name; a broker's number.
        [0..] resource_name: String;
        /// Its settings.
        [0..] configs: Vec<AlterConfigsRequestConfig>;
    }

    /// One setting.
    pub struct AlterConfigsRequestConfig {
        /// The setting's name.
        [0..] name: String;
        /// Its value.
        [0..] [null 0..] value: Option<String> = Some(String::new());
    }

    /// What became of it.
    pub struct AlterConfigsResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [0..] throttle_time_ms: i32;
        /// By resource.
        [0..] responses: Vec<AlterConfigsResponseResource>;
    }

    /// One resource's result.
    pub struct AlterConfigsResponseResource {
        /// The error, or 0.
        [0..] error_code: i16;
        /// What went wrong, for people; may be null.
        [0..] [null 0..] error_message: Option<String> = Some(String::new());
        /// What it is, as for DescribeConfigs.
        [0..] resource_type: i8;
        /// Its name; a broker's number.
        [0..] resource_name: String;
    }

    /// Changes single settings.
    pub struct IncrementalAlterConfigsRequest {
        /// By resource.
        [0..] resources: Vec<IncrementalAlterConfigsRequestResource>;
        /// Whether only to say what would happen.
        [0..] validate_only: bool;
    }

    /// The changes to one resource.
    pub struct IncrementalAlterConfigsRequestResource {
        /// What it is, as for DescribeConfigs.
        [0..] resource_type: i8;
        /// Its name; a broker's number.
        [0..] resource_name: String;
        /// The changes.
        [0..] configs: Vec<IncrementalAlterConfigsRequestConfig>;
    }

    /// One change.
    pub struct IncrementalAlterConfigsRequestConfig {
        /// The setting's name.
        [0..] name: String;
        /// 0 set, 1 take back, 2 add to a list, 3 remove from a list.
        [0..] config_operation: i8;
        /// The value, or the elements; null where it is taken back.
        [0..] [null 0..] value: Option<String> = Some(String::new());
    }

    /// What became of them.
    pub struct IncrementalAlterConfigsResponse {
        /// How long the client is held back for its quota, in milliseconds.
        [0..] throttle_time_ms: i32;
        /// By resource.
        [0..] responses: Vec<IncrementalAlterConfigsResponseResource>;
    }

    /// One resource's result.
    pub struct IncrementalAlterConfigsResponseResource {
        /// The error, or 0.
        [0..] error_code: i16;
        /// What went wrong, for people; may be null.
        [0..] [null 0..] error_message: Option<String> = Some(String::new());
        /// What it is, as for DescribeConfigs.
        [0..] resource_type: i8;
        /// Its name; a broker's number.
        [0..] resource_name: String;
    }
}
