//! Images by their names: what a name leads to, which there are, and having containerd fetch one.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use containerd_client::services::v1::{GetImageRequest, Image, ListImagesRequest, TransferRequest};
use containerd_client::to_any;
use containerd_client::tonic::Code;
use containerd_client::types::transfer::{ImageStore, OciRegistry, RegistryResolver};
use image::Descriptor;

use super::{Containerd, ImageRef};

impl Containerd {
    /// An image by its name.
    pub async fn image(&self, name: &str) -> Result<ImageRef> {
        self.image_if_any(name).await?.with_context(|| format!("containerd has no image {name}"))
    }

    /// The same; `None` where there is none.
    pub async fn image_if_any(&self, name: &str) -> Result<Option<ImageRef>> {
        let get = self.request(GetImageRequest { name: name.to_owned() });
        match self.client.images().get(get).await {
            Ok(response) => response.into_inner().image.map(|image| read(name, image)).transpose(),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => bail!("containerd does not tell about the image {name}: {}", status.message()),
        }
    }

    /// All images, but those whose records lead nowhere.
    pub async fn images(&self) -> Result<Vec<ImageRef>> {
        let response = self.client.images().list(self.request(ListImagesRequest::default())).await;
        let response = response
            .map_err(|status| anyhow::anyhow!("containerd does not list its images: {}", status.message()))?;
        let images = response.into_inner().images.into_iter();
        Ok(images.filter_map(|image| read(&image.name.clone(), image).ok()).collect())
    }

    /// Has containerd fetch an image, unpacked nowhere, to where [`Containerd::image`] finds it. `hosts` is the folder of its
    /// registries' `hosts.toml` files, which containerd 1.7 does not look into. Answers whether the registry has it.
    pub async fn pull(&self, name: &str, hosts: &Path) -> Result<bool> {
        let resolver = RegistryResolver { host_dir: hosts.display().to_string(), ..Default::default() };
        let source = OciRegistry { reference: name.to_owned(), resolver: Some(resolver) };
        let destination = ImageStore { name: name.to_owned(), ..Default::default() };
        let request = TransferRequest {
            source: Some(to_any(&source)),
            destination: Some(to_any(&destination)),
            options: None,
        };
        match self.client.transfer().transfer(self.request(request)).await {
            Ok(_) => Ok(true),
            Err(status) if status.code() == Code::NotFound => Ok(false),
            Err(status) => bail!("{}", status.message()),
        }
    }
}

fn read(name: &str, image: Image) -> Result<ImageRef> {
    let target = image.target.with_context(|| format!("the image {name} has no target"))?;
    let digest = target.digest.parse().with_context(|| format!("the image {name} has a strange digest"))?;
    let size = u64::try_from(target.size).unwrap_or(0);
    let target = Descriptor { media_type: target.media_type, digest, size, annotations: BTreeMap::new() };
    Ok(ImageRef { name: name.to_owned(), target })
}
