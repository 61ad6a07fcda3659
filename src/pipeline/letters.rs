//! Dead letters: what is in one, and how its line becomes an event after all.
//!
//! A letter is the document of a rejected line. Which letters there are is the log's business, and who asks for what is the
//! command line's; here one is read, parsed again as its source says now, and put into the buffer.

mod outcome;
mod refused;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Map;
use serde_json::Value;

pub use self::outcome::Choice;
use self::outcome::Fate;
pub use self::outcome::Outcome;
pub use self::refused::Refused;
pub use self::refused::refused;

use super::ids::Ids;
use super::look::Look;
use super::look::LookError;
use super::look::look;
use super::lookups::Lookups;
use super::parse::Again;
use super::parse::Before;
use super::parse::LineParser;
use super::plan::OnReject;
use super::plan::ParsePlan;
use super::text;
use crate::batch::Batch;
use crate::batch::BatchBuilder;
use crate::batch::Mark;
use crate::batch::Micros;
use crate::batch::SourceId;
use crate::buffer::Entry;
use crate::buffer::frame::SourceNames;
use crate::buffer::log::CommitError;
use crate::buffer::log::Log;
use crate::buffer::sift::Event;
use crate::buffer::sift::Sieve;
use crate::elb::object_key::ObjectKey;
use crate::event_id::IdKey;
use crate::json::envelope::Received;
use crate::json::envelope::Tag;
use crate::json::envelope::Tags;
use crate::pipeline::relay::RelayPlan;
use crate::seq::Seq;
use crate::tenant::plan::TenantsPlan;

/// The one sink of the dead letters: it acks nothing while the relay runs, so that they are kept.
pub const KEPT: &str = "dead-letters";

/// The document of a rejected line, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// The line, its secrets replaced and its invalid bytes as U+FFFD.
    pub message: String,
    /// The word for why it was rejected.
    pub reason: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Further members: fields of the source, and those the sender named.
    pub fields: Vec<(String, Value)>,
}

impl Letter {
    /// Takes a document apart; `None`: it is none of a rejected line.
    pub fn read(document: &[u8]) -> Option<Self> {
        let mut members: Map<String, Value> = serde_json::from_slice(document).ok()?;
        let Some(Value::String(message)) = members.remove("message") else { return None };
        let reason = members.get("elbow")?.get("reason")?.as_str()?.to_owned();
        let tags = members.get("tags").and_then(Value::as_array);
        let tags = tags.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let fields = members.into_iter().filter(|(name, _)| !text::MEMBERS.contains(&name.as_str())).collect();
        Some(Self { message, reason, tags, fields })
    }

    /// Tags that say how the line came and are true whatever it is.
    fn lasting_tags(&self) -> Tags {
        let lasting = [Tag::InvalidUtf8, Tag::Unterminated].into_iter();
        let lasting = lasting.filter(|tag| self.tags.iter().any(|own| own == tag.label()));
        lasting.fold(Tags::NONE, Tags::with)
    }

    /// Whether its sender named an object that is a load balancer's log, as the fields of that name say.
    fn is_of_log(&self) -> bool {
        let key = self.fields.iter().find_map(|(name, value)| match name.as_str() {
            "s3_key" => value.as_str(),
            "aws" => value.pointer("/s3/object/key").and_then(Value::as_str),
            _ => None,
        });
        key.and_then(ObjectKey::parse).is_some()
    }
}

/// Documents in one entry, in bytes; one may pass it.
const ENTRY_BYTES_MAX: usize = 1 << 20;

/// Bytes of entries that are committed together.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// Fields that a letter has beyond those of its source.
type MoreFields = Vec<(String, Value)>;

struct Source {
    parser: LineParser,
    look: Arc<Look>,
    /// The same with the fields of each tenant, by its name.
    of_tenants: HashMap<String, Arc<Look>>,
    /// The look with the fields of the last letter that had more; the next one often has the same.
    with: Option<(Option<Arc<str>>, MoreFields, Arc<Look>)>,
}

/// Parses letters again and puts what becomes of them into the buffer.
pub struct Replay {
    choice: Choice,
    names: Arc<SourceNames>,
    sources: Vec<Source>,
    /// Each sink that may have refused something, and the one that is to have it: itself, or the one it stands in for.
    sinks: HashMap<String, Arc<str>>,
    /// Nowhere on a dry run.
    buffer: Option<Log>,
    /// What one letter has become.
    scratch: BatchBuilder,
    /// The sink alone that is to have it; none where all are.
    scratch_sink: Option<Arc<str>>,
    docs: BatchBuilder,
    /// Source, tenant, sink and receive time of those.
    of: (SourceId, Option<Arc<str>>, Option<Arc<str>>, Micros),
    batches: Vec<Batch>,
    batch_bytes: usize,
    /// What was found when it was asked what would go.
    pub expected: Outcome,
    /// What was done.
    pub done: Outcome,
}

/// Who is to have what a sink has refused, by the name of who refused it.
fn sinks_of(plan: &RelayPlan) -> HashMap<String, Arc<str>> {
    let names = plan.sinks.iter().flat_map(|sink| {
        let name: Arc<str> = sink.name.as_str().into();
        let fallback = sink.fallback.as_ref().map(|fallback| (fallback.name.clone(), name.clone()));
        std::iter::once((sink.name.clone(), name)).chain(fallback)
    });
    names.collect()
}

impl Replay {
    /// Letters of these sources go into this buffer, which must have the same names. `names` are those of the letters.
    ///
    /// # Errors
    /// When fields, rules or lookups of a source do not go together.
    pub fn new(
        plan: &RelayPlan,
        lookups: &Lookups,
        choice: Choice,
        names: Arc<SourceNames>,
        buffer: Option<Log>,
    ) -> Result<Self, LookError> {
        let source = |(source, id): (&ParsePlan, u16)| source_of(source, plan.id_key, &plan.tenants, lookups, SourceId(id));
        let sources = plan.sources.iter().map(|source| &source.parse).zip(0..).map(source).collect::<Result<_, _>>()?;
        Ok(Self {
            choice,
            names,
            sources,
            sinks: sinks_of(plan),
            buffer,
            scratch: BatchBuilder::default(),
            scratch_sink: None,
            docs: BatchBuilder::default(),
            of: (SourceId(0), None, None, 0),
            batches: Vec::new(),
            batch_bytes: 0,
            expected: Outcome::default(),
            done: Outcome::default(),
        })
    }

    /// The buffer again.
    pub fn into_buffer(self) -> Option<Log> {
        self.buffer
    }

    /// What becomes of a letter; its documents are in `scratch` where it is good.
    fn judge(&mut self, event: &Event<'_>) -> Fate {
        let batch = &event.entry.batch;
        if self.choice.source.as_ref().is_some_and(|wanted| **wanted != *self.names.name(batch.source)) {
            return Fate::NotChosen;
        }
        self.scratch_sink = None;
        if let Some(Refused { document, sink, .. }) = refused(event.document) {
            self.scratch_sink = self.sinks.get(&sink).cloned();
            if self.scratch_sink.is_none() && !self.choice.as_is {
                return Fate::OfNoSink;
            }
            self.scratch.clear();
            let mut writer = self.scratch.writer(document.len());
            writer.raw(&document);
            let end = writer.at();
            self.scratch.finish(end, event.mark.id, event.mark.time, event.mark.origin);
            return Fate::Good;
        }
        let again = match (Letter::read(event.document), self.sources.get_mut(usize::from(batch.source.0))) {
            (_, None) if self.choice.as_is => Again::Rejected,
            (_, None) => return Fate::OfNoSource,
            (None, _) => Again::Rejected,
            (Some(letter), Some(source)) => source.again(&letter, event, &mut self.scratch),
        };
        match again {
            Again::Documents => Fate::Good,
            Again::Dropped => Fate::Dropped,
            Again::Rejected if self.choice.as_is => Fate::AsIs,
            Again::Rejected => Fate::Rejected,
        }
    }

    fn add(&mut self, event: &Event<'_>, fate: &Fate) {
        let batch = &event.entry.batch;
        let of = (batch.source, batch.tenant.clone(), self.scratch_sink.clone(), batch.received);
        if of != self.of || self.docs.bytes() >= ENTRY_BYTES_MAX {
            self.close();
            self.of = of;
        }
        let mut add = |document: &[u8], mark: &Mark| {
            let mut writer = self.docs.writer(document.len());
            writer.raw(document);
            let end = writer.at();
            self.docs.finish(end, mark.id, mark.time, mark.origin);
        };
        if matches!(fate, Fate::AsIs) {
            return add(event.document, event.mark);
        }
        let mut start = 0;
        for mark in self.scratch.marks() {
            let end = mark.end as usize;
            add(&self.scratch.documents()[start..end], mark);
            start = end;
        }
    }

    /// Ends the entry that is being made.
    fn close(&mut self) {
        if self.docs.is_empty() {
            return;
        }
        let (source, tenant, sink, received) = self.of.clone();
        let batch = std::mem::take(&mut self.docs).build(source, received, |mut buf, used| {
            buf.truncate(used);
            Bytes::from(buf)
        });
        let batch = Batch { tenant, sink, ..batch };
        self.batch_bytes += batch.bytes();
        self.batches.push(batch);
    }

    fn commit(&mut self) -> Result<(), CommitError> {
        let Some(buffer) = &mut self.buffer else { return Ok(()) };
        let entries = (buffer.end().seq..).zip(self.batches.drain(..));
        let entries: Vec<Entry> = entries.map(|(seq, batch)| Entry { seq: Seq(seq), batch: Arc::new(batch) }).collect();
        self.batch_bytes = 0;
        if !entries.is_empty() {
            let _ = buffer.commit(&entries)?;
        }
        Ok(())
    }
}

impl Sieve for Replay {
    fn goes(&mut self, event: &Event<'_>) -> bool {
        let fate = self.judge(event);
        self.expected.count(&fate);
        fate.leaves()
    }

    fn take(&mut self, event: &Event<'_>) -> Result<bool, CommitError> {
        let fate = self.judge(event);
        self.done.count(&fate);
        if matches!(fate, Fate::Good | Fate::AsIs) {
            self.add(event, &fate);
            if self.batch_bytes >= GROUP_BYTES_MAX {
                self.commit()?;
            }
        }
        Ok(fate.leaves())
    }

    fn settle(&mut self) -> Result<(), CommitError> {
        self.close();
        self.commit()
    }
}

fn source_of(plan: &ParsePlan, key: IdKey, tenants: &TenantsPlan, lookups: &Lookups, id: SourceId) -> Result<Source, LookError> {
    let look = Arc::new(look(plan, key, lookups)?);
    let tenants = tenants.tenants.iter().filter(|tenant| !tenant.fields.is_empty());
    let of_tenants = tenants.map(|tenant| Ok((tenant.name.clone(), Arc::new(look.forcing(&tenant.fields)?))));
    let of_tenants = of_tenants.collect::<Result<_, LookError>>()?;
    // A line that still is a reject stays where it is.
    let plan = ParsePlan { on_reject: OnReject::Drop, ..plan.clone() };
    // Every line has its id already, so that nothing here is drawn.
    let ids = Ids::new(key, [0; 12], id, 0);
    Ok(Source { parser: LineParser::offline(&plan, look.clone(), ids), look, of_tenants, with: None })
}

impl Source {
    fn again(&mut self, letter: &Letter, event: &Event<'_>, out: &mut BatchBuilder) -> Again {
        let before = Before {
            id: event.mark.id,
            received: Received::at(event.entry.batch.received),
            tags: letter.lasting_tags(),
            look: self.look_of(letter, event.entry.batch.tenant.as_ref()),
            is_log: letter.is_of_log(),
        };
        self.parser.again(letter.message.as_bytes(), &before, out)
    }

    /// The source's look, or its tenant's, with the letter's fields that it does not have: a sender has named those.
    fn look_of(&mut self, letter: &Letter, tenant: Option<&Arc<str>>) -> Arc<Look> {
        let own = tenant.and_then(|tenant| self.of_tenants.get(&**tenant)).unwrap_or(&self.look);
        let known = |name: &str| own.pairs.iter().any(|(own, _)| own == name);
        let more: MoreFields = letter.fields.iter().filter(|(name, _)| !known(name)).cloned().collect();
        if more.is_empty() {
            return own.clone();
        }
        if let Some((_, _, look)) = self.with.as_ref().filter(|(of, last, _)| of.as_ref() == tenant && *last == more) {
            return look.clone();
        }
        // Where they do not go with what the source has now, that counts more.
        let look = own.with(more.clone()).map_or_else(|_| own.clone(), Arc::new);
        self.with = Some((tenant.cloned(), more, look.clone()));
        look
    }
}

#[cfg(test)]
mod tests;
