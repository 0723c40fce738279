//! A member of a consumer group: joins, gets its share, beats, commits under its generation, and leaves.

use chronik::base::ids::PartitionId;
use chronik::base::payload::Bytes;
use chronik::base::time::Mono;
use chronik::wire::api::Response;
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
    LeaveGroupRequest, LeaveGroupRequestMember, OffsetCommitRequest, SyncGroupRequest,
    SyncGroupRequestAssignment,
};

use super::reader::{commit, commit_error};
use super::{Client, Desk, Reply};
use crate::model::{Key, Model, SESSION_MS};

/// The only group with members.
pub(crate) const GROUP: &str = "members";

/// Where a member stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Outside,
    /// It knows its generation; a leader also who is in it.
    Joined {
        members: Vec<String>,
    },
    /// It has its share.
    Inside,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Join,
    Share { sent: Mono },
    Beat,
    Commit { key: Key, number: u64, offset: i64, generation: i32, newest: i32 },
    Leave,
}

pub(crate) struct Member {
    id: String,
    generation: i32,
    /// A generation that it was in before, to which a slow thread of it may still hold.
    earlier: i32,
    /// The newest that it was in.
    last: i32,
    stage: Stage,
    asked: Option<(u64, Asked)>,
    finishing: bool,
}

impl Member {
    pub(crate) fn new() -> Member {
        Member {
            id: String::new(),
            generation: -1,
            earlier: -1,
            last: -1,
            stage: Stage::Outside,
            asked: None,
            finishing: false,
        }
    }

    fn join(&self, desk: &mut Desk<'_>) -> u64 {
        let metadata = Bytes::from(&b"what it reads"[..]);
        let protocol = JoinGroupRequestProtocol { name: "range".into(), metadata };
        desk.send(JoinGroupRequest {
            group_id: GROUP.into(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: 20_000,
            member_id: self.id.clone(),
            protocol_type: "consumer".into(),
            protocols: vec![protocol],
            ..JoinGroupRequest::default()
        })
    }

    fn share(&self, desk: &mut Desk<'_>, members: &[String]) -> u64 {
        let share = |member: &String| SyncGroupRequestAssignment {
            member_id: member.clone(),
            assignment: Bytes::from(&b"its share"[..]),
        };
        desk.send(SyncGroupRequest {
            group_id: GROUP.into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: members.iter().map(share).collect(),
            ..SyncGroupRequest::default()
        })
    }

    fn beat(&self, desk: &mut Desk<'_>) -> u64 {
        desk.send(HeartbeatRequest {
            group_id: GROUP.into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            ..HeartbeatRequest::default()
        })
    }

    fn leave(&self, desk: &mut Desk<'_>) -> u64 {
        let member = LeaveGroupRequestMember { member_id: self.id.clone(), ..Default::default() };
        desk.send(LeaveGroupRequest {
            group_id: GROUP.into(),
            members: vec![member],
            ..LeaveGroupRequest::default()
        })
    }

    /// Commits how much of a log is known to be safe.
    fn commit(&self, desk: &mut Desk<'_>) -> Option<(u64, Asked)> {
        let partitions = desk.model.partitions();
        let id = *partitions.get(desk.below(partitions.len()))?;
        let offset = desk.model.logs.get(&id)?.firm;
        let key = (GROUP, id.topic, id.index);
        let number = desk.model.commits.sent(key, offset);
        let newest = desk.model.group.newest();
        let stale = self.earlier > 0 && desk.below(6) == 0;
        let generation = if stale { self.earlier } else { self.generation };
        let request = desk.send(OffsetCommitRequest {
            generation_id_or_member_epoch: generation,
            member_id: self.id.clone(),
            ..commit(key, offset)
        });
        Some((request, Asked::Commit { key, number, offset, generation, newest }))
    }

    fn out(&mut self) {
        self.stage = Stage::Outside;
        self.generation = -1;
    }

    fn hear_join(&mut self, response: &JoinGroupResponse) {
        match ErrorCode::from_code(response.error_code) {
            Some(ErrorCode::None) => {
                self.id.clone_from(&response.member_id);
                (self.earlier, self.last) = (self.last, response.generation_id);
                self.generation = response.generation_id;
                let members = response.members.iter().map(|m| m.member_id.clone()).collect();
                self.stage = Stage::Joined { members };
            }
            Some(ErrorCode::MemberIdRequired) => self.id.clone_from(&response.member_id),
            Some(ErrorCode::UnknownMemberId) => {
                self.id.clear();
                self.out();
            }
            _ => {}
        }
    }

    fn hear_error(&mut self, error: Option<ErrorCode>) {
        match error {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::UnknownMemberId) => {
                self.id.clear();
                self.out();
            }
            _ => self.out(),
        }
    }
}

impl Client for Member {
    fn step(&mut self, desk: &mut Desk<'_>) -> Result<(), String> {
        if self.asked.is_some() {
            return Ok(());
        }
        if self.finishing {
            if !self.id.is_empty() {
                desk.model.group.left(&self.id);
                self.asked = Some((self.leave(desk), Asked::Leave));
            }
            return Ok(());
        }
        self.asked = match self.stage.clone() {
            Stage::Outside => Some((self.join(desk), Asked::Join)),
            Stage::Joined { members } => {
                Some((self.share(desk, &members), Asked::Share { sent: desk.now.mono }))
            }
            Stage::Inside => match desk.below(12) {
                0 => {
                    desk.model.group.left(&self.id);
                    Some((self.leave(desk), Asked::Leave))
                }
                1 => Some((self.join(desk), Asked::Join)),
                2..=6 => self.commit(desk),
                _ => Some((self.beat(desk), Asked::Beat)),
            },
        };
        Ok(())
    }

    fn promised(&mut self, desk: &mut Desk<'_>, _: u64, reply: &Reply) -> Result<(), String> {
        let Some((_, what)) = &self.asked else { return Err("nobody asked".into()) };
        let Reply::Response(response) = reply else { return Err("silence".into()) };
        let now = desk.now.mono;
        let group = &mut desk.model.group;
        match (what, response) {
            (Asked::Join, Response::JoinGroup(response)) if response.error_code == 0 => {
                group.joined(response.generation_id, now)
            }
            (Asked::Share { sent }, Response::SyncGroup(response)) if response.error_code == 0 => {
                // How long the disk took is the member's time, too.
                group.shared(self.generation, &self.id, *sent);
                Ok(())
            }
            (Asked::Beat, Response::Heartbeat(response)) => {
                let error = ErrorCode::from_code(response.error_code);
                if error == Some(ErrorCode::None) && self.generation < group.newest() {
                    return Err(format!("generation {} still counts", self.generation));
                }
                group.beat(&self.id, error != Some(ErrorCode::UnknownMemberId), now)
            }
            (
                Asked::Commit { key, number, offset, generation, newest },
                Response::OffsetCommit(response),
            ) => {
                if commit_error(response) != Some(ErrorCode::None) {
                    desk.model.commits.refused(*key, *number);
                    return Ok(());
                }
                group.committed(*generation, *newest)?;
                let may_sink = desk.model.disk_may_fail;
                desk.model.commits.acknowledged(*key, *number, may_sink);
                let id = PartitionId { topic: key.1, index: key.2 };
                if let Some(log) = desk.model.logs.get_mut(&id).filter(|_| !may_sink) {
                    log.committed(*offset);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn heard(&mut self, _: &mut Desk<'_>, _: u64, reply: &Reply) -> Result<(), String> {
        let Some((_, what)) = self.asked.take() else { return Ok(()) };
        let Reply::Response(response) = reply else { return Ok(()) };
        match (what, response) {
            (Asked::Join, Response::JoinGroup(response)) => self.hear_join(response),
            (Asked::Share { .. }, Response::SyncGroup(response)) => {
                let error = ErrorCode::from_code(response.error_code);
                self.hear_error(error);
                if error == Some(ErrorCode::None) {
                    self.stage = Stage::Inside;
                }
            }
            (Asked::Beat, Response::Heartbeat(response)) => {
                self.hear_error(ErrorCode::from_code(response.error_code));
            }
            (Asked::Commit { .. }, Response::OffsetCommit(response)) => {
                let error = commit_error(response);
                if error != Some(ErrorCode::UnknownTopicId) {
                    self.hear_error(error);
                }
            }
            (Asked::Leave, _) => {
                self.id.clear();
                self.out();
            }
            (_, other) => return Err(format!("another answer: {other:?}")),
        }
        Ok(())
    }

    fn disconnected(&mut self, model: &mut Model) {
        match self.asked.take() {
            Some((_, Asked::Commit { key, number, .. })) => {
                model.commits.forsaken(key, number, model.disk_may_fail);
            }
            // Whether it is in the next generation is not known.
            Some((_, Asked::Join)) => self.out(),
            _ => {}
        }
    }

    fn is_done(&self) -> bool {
        self.asked.is_none() && (!self.finishing || self.id.is_empty())
    }

    fn finish(&mut self) {
        self.finishing = true;
    }
}
