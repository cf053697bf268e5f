//! [`Objects`] from a directory, from a web server, or from nowhere.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt as _;
use lockstep_io::{
    BodyStream, BoxFuture, ByteRange, HttpResponse, NetError, ObjectError, ObjectMeta, Objects,
};
use reqwest::header::{ACCEPT_ENCODING, RANGE};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
};

use crate::{
    EndpointConfig, HttpConfig, HttpConfigError, SocketHttp,
    endpoint::shown,
    http::{Patience, exchange},
};

/// An object's source is given up when nothing comes for this long.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a file that are read at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// How deep below the root objects are looked for.
const DEPTH_MAX: usize = 32;

/// Why there is no object source.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsConfigError {
    /// The URL is of a kind that nothing here can read.
    #[error("the object source {0} must be an http://, https:// or file:// URL")]
    Scheme(String),
    /// The directory is not usable.
    #[error("the object directory {path} is not usable: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The HTTP client is not usable.
    #[error(transparent)]
    Http(#[from] HttpConfigError),
}

/// The object source at `url`: a directory (`file:///path`), a web server, or none.
///
/// # Errors
///
/// [`ObjectsConfigError`] if nothing can be read there.
pub fn open_objects(
    url: Option<&str>,
    config: HttpConfig,
) -> Result<Arc<dyn Objects>, ObjectsConfigError> {
    let Some(url) = url else { return Ok(Arc::new(NoObjects)) };
    if let Some(path) = url.strip_prefix("file://") {
        Ok(Arc::new(FileObjects::new(path)?))
    } else if url.starts_with("http://") || url.starts_with("https://") {
        Ok(Arc::new(HttpObjects::new(EndpointConfig::new(url), config)?))
    } else {
        Err(ObjectsConfigError::Scheme(shown(url)))
    }
}

/// No source is configured.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObjects;

impl Objects for NoObjects {
    fn list(&self, _prefix: &str) -> BoxFuture<'_, Result<Vec<ObjectMeta>, ObjectError>> {
        futures::future::ready(Err(ObjectError::NoSource)).boxed()
    }

    fn get(
        &self,
        _path: &str,
        _range: Option<ByteRange>,
    ) -> BoxFuture<'_, Result<Box<dyn BodyStream>, ObjectError>> {
        futures::future::ready(Err(ObjectError::NoSource)).boxed()
    }
}

/// The files below a directory. Symbolic links to files are followed, to directories are not.
#[derive(Clone, Debug)]
pub struct FileObjects {
    root: PathBuf,
}

impl FileObjects {
    /// The files below `root`.
    ///
    /// # Errors
    ///
    /// [`ObjectsConfigError::Directory`] if `root` is not a directory that can be read.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self, ObjectsConfigError> {
        let root = root.into();
        match fs::read_dir(&root) {
            Ok(_entries) => Ok(Self { root }),
            Err(source) => Err(ObjectsConfigError::Directory { path: root, source }),
        }
    }
}

impl Objects for FileObjects {
    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<ObjectMeta>, ObjectError>> {
        let (root, prefix) = (self.root.clone(), prefix.to_owned());
        async move {
            let listing = tokio::task::spawn_blocking(move || list_files(&root, &prefix)).await;
            match listing {
                Ok(listed) => listed.map_err(|error| ObjectError::Failed(error.to_string())),
                Err(error) => Err(ObjectError::Failed(error.to_string())),
            }
        }
        .boxed()
    }

    fn get(
        &self,
        path: &str,
        range: Option<ByteRange>,
    ) -> BoxFuture<'_, Result<Box<dyn BodyStream>, ObjectError>> {
        let path = path.to_owned();
        async move {
            check_path(&path)?;
            let failed = |error: io::Error| {
                let kind = error.kind();
                if matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
                    ObjectError::Missing(path.clone())
                } else {
                    ObjectError::Failed(format!("{path}: {error}"))
                }
            };
            let mut file = File::open(self.root.join(&path)).await.map_err(failed)?;
            let meta = file.metadata().await.map_err(failed)?;
            if !meta.is_file() {
                return Err(ObjectError::Missing(path));
            }
            let range = range.unwrap_or(ByteRange { start: 0, end: meta.len() });
            check_range(&path, range)?;
            if range.end > meta.len() {
                return Err(outside(&path, range));
            }
            file.seek(io::SeekFrom::Start(range.start)).await.map_err(failed)?;
            Ok(Part::new(Box::new(FileBody(file)), 0, range.end - range.start))
        }
        .boxed()
    }
}

/// Objects below the root whose path begins with `prefix`, in order of path.
fn list_files(root: &Path, prefix: &str) -> io::Result<Vec<ObjectMeta>> {
    let mut found = Vec::new();
    let mut folders = vec![(root.to_owned(), String::new(), 0)];
    while let Some((folder, path_so_far, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue }; // Not an object.
            let path = format!("{path_so_far}{name}");
            if entry.file_type()?.is_dir() {
                let below = format!("{path}/");
                let wanted = below.starts_with(prefix) || prefix.starts_with(&below);
                if wanted && depth < DEPTH_MAX {
                    folders.push((entry.path(), below, depth + 1));
                }
            } else if path.starts_with(prefix) {
                let meta = fs::metadata(entry.path())?;
                if meta.is_file() {
                    found.push(ObjectMeta { path, bytes: meta.len() });
                }
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// Objects of a web server, below a URL.
#[derive(Clone, Debug)]
pub struct HttpObjects {
    http: SocketHttp,
}

impl HttpObjects {
    /// The objects below `base`.
    ///
    /// # Errors
    ///
    /// [`HttpConfigError`] if the URL is not usable.
    pub fn new(base: EndpointConfig, config: HttpConfig) -> Result<Self, HttpConfigError> {
        Ok(Self { http: SocketHttp::new(vec![base], config)? })
    }
}

impl Objects for HttpObjects {
    /// Always fails: a plain web server does not say what it has.
    fn list(&self, _prefix: &str) -> BoxFuture<'_, Result<Vec<ObjectMeta>, ObjectError>> {
        let message = "a web server cannot be asked what objects it has";
        futures::future::ready(Err(ObjectError::Failed(message.to_owned()))).boxed()
    }

    fn get(
        &self,
        path: &str,
        range: Option<ByteRange>,
    ) -> BoxFuture<'_, Result<Box<dyn BodyStream>, ObjectError>> {
        let path = path.to_owned();
        async move {
            check_path(&path)?;
            let failed = |error: NetError| ObjectError::Failed(format!("{path}: {error}"));
            let mut request = self.http.get_object(&path).map_err(failed)?;
            if let Some(range) = range {
                check_range(&path, range)?;
                if range.start == range.end {
                    return Ok(Part::new(Box::new(NoBody), 0, 0));
                }
                // A part of a compressed object would be of no use.
                request = request
                    .header(RANGE, format!("bytes={}-{}", range.start, range.end - 1))
                    .header(ACCEPT_ENCODING, "identity");
            }
            let patience = Patience::Each(STALL_TIMEOUT);
            let response = exchange(request, patience, usize::MAX).await.map_err(failed)?;
            object_body(&path, range, response)
        }
        .boxed()
    }
}

fn object_body(
    path: &str,
    range: Option<ByteRange>,
    response: HttpResponse,
) -> Result<Box<dyn BodyStream>, ObjectError> {
    match (response.status, range) {
        (200, None) => Ok(response.body),
        // A server may ignore the range and send everything.
        (200, Some(range)) => Ok(Part::new(response.body, range.start, range.end - range.start)),
        (206, Some(range)) => {
            let expected = format!("bytes {}-{}/", range.start, range.end - 1);
            match response.header("content-range") {
                Some(got) if got.starts_with(&expected) => {
                    Ok(Part::new(response.body, 0, range.end - range.start))
                }
                Some(_) => Err(outside(path, range)),
                None => Err(ObjectError::Failed(format!("{path}: a part without its range"))),
            }
        }
        (404 | 410, _) => Err(ObjectError::Missing(path.to_owned())),
        (416, Some(range)) => Err(outside(path, range)),
        (status, _) => Err(ObjectError::Failed(format!("{path}: HTTP status {status}"))),
    }
}

/// Refuses what could lead out of the source or name one object in two ways.
fn check_path(path: &str) -> Result<(), ObjectError> {
    let fine = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
    if path.split('/').all(fine) {
        Ok(())
    } else {
        Err(ObjectError::Failed(format!("{path:?} is no path of an object")))
    }
}

fn check_range(path: &str, range: ByteRange) -> Result<(), ObjectError> {
    if range.start <= range.end { Ok(()) } else { Err(outside(path, range)) }
}

fn outside(path: &str, range: ByteRange) -> ObjectError {
    ObjectError::Failed(format!("{path} has no bytes {}..{}", range.start, range.end))
}

/// A part of a body: so many bytes are left out, then exactly so many are given. A body that ends
/// before is an error.
struct Part {
    body: Box<dyn BodyStream>,
    skip: u64,
    left: u64,
    failed: bool,
}

impl Part {
    #[expect(clippy::new_ret_no_self, reason = "nobody needs it unboxed")]
    fn new(body: Box<dyn BodyStream>, skip: u64, left: u64) -> Box<dyn BodyStream> {
        Box::new(Self { body, skip, left, failed: false })
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        while self.left > 0 && !self.failed {
            let Some(chunk) = self.body.next().await else {
                return Err(NetError::Reset("the object ended early".to_owned()));
            };
            let mut chunk = chunk?;
            let skipped = chunk.split_to(at_most(self.skip, chunk.len()));
            self.skip -= len_u64(&skipped);
            chunk.truncate(at_most(self.left, chunk.len()));
            self.left -= len_u64(&chunk);
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }
}

impl BodyStream for Part {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, NetError>>> {
        async move {
            let chunk = self.chunk().await;
            self.failed |= chunk.is_err();
            chunk.transpose()
        }
        .boxed()
    }
}

fn at_most(wanted: u64, len: usize) -> usize {
    usize::try_from(wanted).map_or(len, |wanted| wanted.min(len))
}

fn len_u64(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).expect("a length in memory fits 64 bits")
}

/// The rest of a file.
struct FileBody(File);

impl BodyStream for FileBody {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, NetError>>> {
        async move {
            let mut chunk = vec![0; CHUNK_BYTES];
            match self.0.read(&mut chunk).await {
                Ok(0) => None,
                Ok(len) => {
                    chunk.truncate(len);
                    Some(Ok(chunk.into()))
                }
                Err(error) => Some(Err(NetError::Reset(error.to_string()))),
            }
        }
        .boxed()
    }
}

/// Nothing.
struct NoBody;

impl BodyStream for NoBody {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, NetError>>> {
        futures::future::ready(None).boxed()
    }
}
