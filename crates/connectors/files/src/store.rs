//! Where the files are: one folder of a disk or a bucket, behind `object_store`.
//!
//! Paths go in as people write them and come back the same: `object_store::path::Path::parse` keeps every character,
//! where `Path::from` would escape some of them and so miss the file.

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetResult, ListResult, ObjectMeta, ObjectStore, ObjectStoreExt};
use std::collections::BTreeMap;
use std::path::{Path as StdPath, PathBuf};
use std::sync::Arc;
use xdb_core::{Error, ErrorKind, Result};

#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) inner: Arc<dyn ObjectStore>,
    /// The connection's folder within the store.
    root: Path,
    /// In front of a store path when it is shown: `/`, or `s3://bucket/`.
    prefix: String,
    local: bool,
}

/// A file as it was when it was found. Reading it after it changed is an error, never a mixture.
#[derive(Clone, Debug)]
pub(crate) struct FileEntry {
    pub(crate) path: Path,
    pub(crate) size: u64,
    pub(crate) etag: Option<String>,
}
impl From<ObjectMeta> for FileEntry {
    fn from(m: ObjectMeta) -> Self {
        Self { path: m.location, size: m.size, etag: m.e_tag }
    }
}

impl Store {
    /// `folder` is absolute.
    pub(crate) fn local(folder: &StdPath) -> Result<Self> {
        let root = Path::from_absolute_path(folder)
            .map_err(|e| Error::config(format!("{} is not a usable path", folder.display())).cause(e))?;
        Ok(Self { inner: Arc::new(LocalFileSystem::new()), root, prefix: "/".into(), local: true })
    }

    /// A bucket's folder, by URL. `options` are the store's own settings, e.g. `aws_region`.
    pub(crate) fn remote(url: &str, options: &BTreeMap<String, String>) -> Result<Self> {
        let parsed = url::Url::parse(url).map_err(|e| Error::config(format!("`{url}` is not a URL")).cause(e))?;
        if parsed.scheme() == "file" {
            let folder = parsed.to_file_path().map_err(|()| Error::config(format!("`{url}` is not a local folder")))?;
            return Self::local(&folder);
        }
        let (feature, known) = match parsed.scheme() {
            "s3" | "s3a" => ("s3", cfg!(feature = "s3")),
            "gs" => ("gcs", cfg!(feature = "gcs")),
            "az" | "adl" | "azure" | "abfs" | "abfss" => ("azure", cfg!(feature = "azure")),
            other => {
                return Err(Error::config(format!("`{other}://` is not a file system xdb knows"))
                    .hint("use a local path, or an s3://, gs:// or az:// URL"));
            }
        };
        if !known {
            return Err(Error::unsupported(format!("this xdb was built without `{}://`", parsed.scheme()))
                .hint(format!("build the `xdb-connector-files` crate with its Cargo feature `{feature}`")));
        }
        let (store, root) = object_store::parse_url_opts(&parsed, options)
            .map_err(|e| Error::config(format!("cannot use `{}://` storage", parsed.scheme())).cause(e))?;
        let prefix = format!("{}://{}/", parsed.scheme(), parsed.host_str().unwrap_or_default());
        Ok(Self { inner: Arc::from(store), root, prefix, local: false })
    }

    #[cfg(test)]
    pub(crate) fn memory() -> Self {
        let inner = Arc::new(object_store::memory::InMemory::new());
        Self { inner, root: Path::default(), prefix: "memory://".into(), local: false }
    }

    pub(crate) fn is_local(&self) -> bool {
        self.local
    }
    /// The folder, as people write it.
    pub(crate) fn shown_root(&self) -> String {
        self.show(&self.root)
    }
    pub(crate) fn show(&self, path: &Path) -> String {
        format!("{}{path}", self.prefix)
    }
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
    /// `relative` (with `/` between its parts) below the folder `base`; never above it.
    pub(crate) fn below(&self, base: &Path, relative: &str) -> Result<Path> {
        let relative = relative.trim_matches('/');
        if relative.is_empty() {
            return Ok(base.clone());
        }
        let joined = if base.is_root() { relative.to_string() } else { format!("{base}/{relative}") };
        Path::parse(&joined).map_err(|e| {
            Error::config(format!("`{relative}` is not a path below {}", self.show(base)))
                .cause(e)
                .hint("use a name, or a path without `..` and without empty parts")
        })
    }
    /// The path for `std::fs`; `None` in a bucket.
    pub(crate) fn local_path(&self, path: &Path) -> Option<PathBuf> {
        self.local.then(|| PathBuf::from(format!("/{path}")))
    }
    /// Files and folders directly in `folder`; empty where there is no such folder.
    pub(crate) async fn entries(&self, folder: &Path) -> Result<ListResult> {
        match self.inner.list_with_delimiter(Some(folder)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(ListResult { common_prefixes: vec![], objects: vec![] }),
            other => other.map_err(|e| self.error(e, folder)),
        }
    }
    /// `None` where there is no such file.
    pub(crate) async fn head(&self, path: &Path) -> Result<Option<FileEntry>> {
        match self.inner.head(path).await {
            Ok(m) => Ok(Some(m.into())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.error(e, path)),
        }
    }
    /// The file's bytes, or the part `range`, provided that it is still the file that was found.
    pub(crate) async fn get(&self, file: &FileEntry, range: Option<std::ops::Range<u64>>) -> Result<GetResult> {
        let options = GetOptions::new().with_if_match(file.etag.clone()).with_range(range);
        self.inner.get_opts(&file.path, options).await.map_err(|e| self.error(e, &file.path))
    }

    pub(crate) fn error(&self, e: object_store::Error, path: &Path) -> Error {
        use object_store::Error as S;
        let shown = self.show(path);
        let at = |kind, what: &str| Error::new(kind, format!("{shown} {what}"));
        match e {
            S::NotFound { .. } => at(ErrorKind::NotFound, "does not exist"),
            S::Precondition { .. } => {
                at(ErrorKind::Conflict, "changed while it was being read").hint("run it again").retryable(true)
            }
            S::PermissionDenied { .. } => at(ErrorKind::Permission, "may not be used with these rights").cause(e),
            S::Unauthenticated { .. } => at(ErrorKind::Auth, "needs credentials")
                .cause(e)
                .hint("set the store's credentials under `storage_options` in profiles.yml"),
            other => {
                let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&other);
                while let Some(inner) = next {
                    if let Some(io) = inner.downcast_ref::<std::io::Error>() {
                        let copy = std::io::Error::new(io.kind(), io.to_string());
                        return Error::from(copy).with_message(|m| format!("{shown}: {m}"));
                    }
                    next = inner.source();
                }
                let kind = if self.local { ErrorKind::Io } else { ErrorKind::Connect };
                at(kind, "could not be read or written").cause(other)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root_and_keep_their_characters() {
        let s = Store::local(StdPath::new("/data/lake")).unwrap();
        let p = s.below(s.root(), "a b/é#~%20.csv").unwrap();
        assert_eq!(s.show(&p), "/data/lake/a b/é#~%20.csv");
        assert_eq!(s.local_path(&p).unwrap(), PathBuf::from("/data/lake/a b/é#~%20.csv"));
        for bad in ["../x.csv", "a/../../x.csv", "a//b.csv"] {
            assert!(s.below(s.root(), bad).is_err(), "{bad}");
        }
    }
    #[cfg(not(feature = "s3"))]
    #[test]
    fn a_bucket_without_its_feature_says_what_to_build() {
        let e = Store::remote("s3://bucket/x", &BTreeMap::new()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(e.hint_text().unwrap().contains("`s3`"), "{e:?}");
    }
}
