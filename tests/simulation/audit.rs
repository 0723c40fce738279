//! Looking at everything: after a start, and at the end of a run.

use chronik::base::ids::PartitionId;
use chronik::broker::event::{Event, RequestId};
use chronik::wire::api::{Request, Response};
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::{
    ListOffsetsRequest, ListOffsetsRequestPartition, ListOffsetsRequestTopic,
};

use crate::clients::reader::{
    Fetched, ask_for_commits, check_commits, fetch, name_of, read_fetched,
};
use crate::clients::{check_list, check_setting, describe, list};
use crate::world::{Done, OWN, World, peer};

/// The longest wait whose end is seen in a run.
const SOON_MICROS: u128 = 700_000_000;
/// So often in a row may the process die while it is looked at: it dies as planned, twice in a start at most.
const DEATHS_MAX: usize = 20;
/// Rounds in which clients must have finished.
const ROUNDS_MAX: usize = 400;

impl World {
    /// Asks the broker something, and waits for the answer. `None`: the process has died over it.
    fn inquire(&mut self, request: impl Into<Request>) -> Result<Option<Response>, String> {
        let run = self.starts;
        let id = RequestId { conn: OWN, sequence: self.own_next };
        self.own_next += 1;
        self.own_answer = None;
        self.handle(Event::Request { id, client: peer(), request: request.into() })?;
        self.settle()?;
        if self.starts > run {
            return Ok(None);
        }
        match self.own_answer.take() {
            Some(answer) => Ok(Some(answer)),
            None => Err("a question is not answered".into()),
        }
    }

    /// Looks at all topics, logs and commits. `at_start`: nothing was written since the start.
    pub(crate) fn audit(&mut self, at_start: bool) -> Done {
        let run = self.starts;
        let Some(Response::Metadata(listed)) = self.inquire(list())? else { return Ok(()) };
        check_list(&mut self.model, &listed)?;
        for (topic, id) in self.model.topics.alive().collect::<Vec<_>>() {
            if !self.model.topics.is_present(id) {
                continue;
            }
            match self.inquire(describe(topic))? {
                Some(Response::DescribeConfigs(response)) => {
                    check_setting(&mut self.model, topic, id, &response)?;
                }
                _ => return Ok(()),
            }
        }
        for id in self.model.partitions() {
            if !self.model.topics.is_present(id.topic) {
                continue;
            }
            self.audit_log(id, at_start).map_err(|error| format!("{}: {error}", self.title(id)))?;
            if self.starts > run {
                return Ok(());
            }
        }
        self.audit_commits()
    }

    fn title(&self, id: PartitionId) -> String {
        let name = name_of(&self.model, id).unwrap_or("?");
        format!("{name}-{}", id.index)
    }

    fn audit_log(&mut self, id: PartitionId, at_start: bool) -> Done {
        let Some(start) = self.log_start(id)? else { return Ok(()) };
        let (mut next, mut records) = (start, Vec::new());
        loop {
            let Some(got) = self.read_from(id, next)? else { return Ok(()) };
            match got.error {
                ErrorCode::None => {}
                ErrorCode::KafkaStorageError if self.is_faulty => return Ok(()),
                error => return Err(format!("it cannot be read from {next}: {error:?}")),
            }
            let log = self.model.logs.get_mut(&id).ok_or("no such log")?;
            if next >= got.end {
                return log.audited((got.start, got.end), &records, at_start);
            }
            let Some(behind) = got.next else {
                // Compaction may have left nothing above.
                if log.compact {
                    return log.audited((got.start, got.end), &records, at_start);
                }
                return Err(format!("lost: nothing at {next}, the log ends at {}", got.end));
            };
            next = behind;
            records.extend(got.records);
        }
    }

    fn read_from(&mut self, id: PartitionId, from: i64) -> Result<Option<Fetched>, String> {
        match self.inquire(fetch(id, from, 1 << 20))? {
            Some(Response::Fetch(response)) => {
                let mut got = read_fetched(&response)?;
                if let Some(got) = &mut got {
                    // A batch comes whole.
                    got.records.retain(|record| record.offset >= from);
                }
                Ok(got)
            }
            _ => Ok(None),
        }
    }

    fn log_start(&mut self, id: PartitionId) -> Result<Option<i64>, String> {
        let Some(name) = name_of(&self.model, id) else { return Ok(None) };
        let part = ListOffsetsRequestPartition {
            partition_index: id.index,
            timestamp: -2,
            ..ListOffsetsRequestPartition::default()
        };
        let topic = ListOffsetsRequestTopic { name: name.to_owned(), partitions: vec![part] };
        let topics = vec![topic];
        let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
        let Some(Response::ListOffsets(response)) = self.inquire(request)? else {
            return Ok(None);
        };
        let part = &response.topics[0].partitions[0];
        match ErrorCode::from_code(part.error_code) {
            Some(ErrorCode::None) => Ok(Some(part.offset)),
            Some(ErrorCode::KafkaStorageError) if self.is_faulty => Ok(None),
            error => Err(format!("its start is refused with {error:?}")),
        }
    }

    fn audit_commits(&mut self) -> Done {
        let all = self.model.commits.keys();
        for group in ["first", "second", crate::clients::GROUP] {
            let keys: Vec<_> = all.iter().filter(|key| key.0 == group).copied().collect();
            if keys.is_empty() {
                continue;
            }
            match self.inquire(ask_for_commits(group, &keys))? {
                Some(Response::OffsetFetch(response)) => {
                    check_commits(&mut self.model, group, &response)?;
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// The end of a run: the disk is well again, everybody finishes, and everything is looked at.
    pub(crate) fn finish(&mut self) -> Done {
        self.say(|| "the end".to_owned());
        if !self.is_faulty && self.random.next_u64() % 4 == 0 {
            self.come_to_rest()?;
        }
        self.disk.heal();
        self.disk.set_capacity(None);
        let word = self.random.next_u64() << 16 | (self.random.next_u64() % 5);
        self.crash(word)?;
        // Who wants to finish must know which topics are left.
        self.audit_to_the_end(false)?;
        self.let_clients_finish()?;
        self.come_to_rest()?;
        self.audit_to_the_end(false)?;
        self.restart(0)?;
        self.audit_to_the_end(true)?;
        self.come_to_rest()
    }

    /// Looks at everything, from the beginning if the process dies over it.
    fn audit_to_the_end(&mut self, at_start: bool) -> Done {
        for _ in 0..DEATHS_MAX {
            let run = self.starts;
            self.audit(at_start)?;
            if self.starts == run {
                return Ok(());
            }
        }
        Err("it dies over every look at it".into())
    }

    fn let_clients_finish(&mut self) -> Done {
        self.links.iter_mut().for_each(|link| link.client.finish());
        for _ in 0..ROUNDS_MAX {
            let mut is_done = true;
            for who in 0..self.links.len() {
                let word = self.random.next_u64() | 3;
                self.client(who, word & !4)?;
                is_done &= self.links[who].client.is_done();
            }
            self.settle()?;
            if is_done {
                return Ok(());
            }
            self.pass(200_000)?;
        }
        let who = self.links.iter().position(|link| !link.client.is_done());
        Err(format!("client {who:?} never finishes"))
    }

    /// Nobody asks for anything: after a while nothing is due any more, but for what is far away.
    fn come_to_rest(&mut self) -> Done {
        for who in 0..self.links.len() {
            self.disconnect(who)?;
        }
        for _ in 0..100 {
            self.settle()?;
            let now = self.now.mono;
            let next = self.node.as_ref().and_then(crate::node::Node::next_deadline);
            let micros = next.map(|at| at.since(now).as_micros());
            let Some(micros) = micros.filter(|micros| *micros <= SOON_MICROS) else {
                return Ok(());
            };
            self.pass(micros as u64)?;
        }
        Err("something is always due".into())
    }
}
