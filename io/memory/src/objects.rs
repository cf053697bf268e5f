//! Objects in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures::future;
use lockstep_io::{BodyStream, BoxFuture, ByteRange, ObjectError, ObjectMeta, Objects};

use crate::http::Body;

/// Objects in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryObjects(Arc<Mutex<BTreeMap<String, Bytes>>>);

impl MemoryObjects {
    /// A source without objects.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an object at `path`.
    pub fn put(&self, path: impl Into<String>, object: impl Into<Bytes>) {
        self.objects().insert(path.into(), object.into());
    }

    /// Takes the object at `path` away.
    pub fn remove(&self, path: &str) {
        self.objects().remove(path);
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn part(&self, path: &str, range: Option<ByteRange>) -> Result<Bytes, ObjectError> {
        let objects = self.objects();
        let object = objects.get(path).ok_or_else(|| ObjectError::Missing(path.to_owned()))?;
        let Some(ByteRange { start, end }) = range else { return Ok(object.clone()) };
        let (start, end) = (usize::try_from(start).ok(), usize::try_from(end).ok());
        match (start, end) {
            (Some(start), Some(end)) if start <= end && end <= object.len() => {
                Ok(object.slice(start..end))
            }
            (Some(_) | None, Some(_) | None) => {
                Err(ObjectError::Failed(format!("{path} has {} bytes", object.len())))
            }
        }
    }
}

impl Objects for MemoryObjects {
    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<ObjectMeta>, ObjectError>> {
        let objects = self.objects();
        let listed = objects.iter().filter(|(path, _)| path.starts_with(prefix));
        let listed = listed
            .map(|(path, object)| ObjectMeta {
                path: path.clone(),
                bytes: u64::try_from(object.len()).unwrap_or(u64::MAX),
            })
            .collect();
        Box::pin(future::ready(Ok(listed)))
    }

    fn get(
        &self,
        path: &str,
        range: Option<ByteRange>,
    ) -> BoxFuture<'_, Result<Box<dyn BodyStream>, ObjectError>> {
        let part = self.part(path, range);
        Box::pin(future::ready(
            part.map(|part| Box::new(Body::new(&part, usize::MAX)) as Box<dyn BodyStream>),
        ))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn read(
        objects: &MemoryObjects,
        path: &str,
        range: Option<ByteRange>,
    ) -> Result<Vec<u8>, ObjectError> {
        let mut body = objects.get(path, range).now_or_never().unwrap()?;
        let mut whole = Vec::new();
        while let Some(chunk) = body.next().now_or_never().unwrap() {
            whole.extend_from_slice(&chunk.unwrap());
        }
        Ok(whole)
    }

    #[test]
    fn objects_are_listed_by_prefix_and_read_in_parts() {
        let objects = MemoryObjects::new();
        for path in ["b/2", "a/1", "b/1", "c"] {
            objects.put(path, path.as_bytes().to_vec());
        }
        let listed = objects.list("b/").now_or_never().unwrap().unwrap();
        let paths: Vec<_> = listed.iter().map(|meta| (meta.path.as_str(), meta.bytes)).collect();
        assert_eq!(paths, [("b/1", 3), ("b/2", 3)]);
        assert_eq!(read(&objects, "b/2", None).unwrap(), b"b/2");
        assert_eq!(read(&objects, "b/2", Some(ByteRange { start: 1, end: 3 })).unwrap(), b"/2");
        let beyond = read(&objects, "b/2", Some(ByteRange { start: 1, end: 4 }));
        assert!(matches!(beyond, Err(ObjectError::Failed(_))));
        objects.remove("b/2");
        assert_eq!(read(&objects, "b/2", None), Err(ObjectError::Missing("b/2".into())));
    }
}
