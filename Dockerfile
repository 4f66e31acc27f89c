# The image of the installer, run-wasm-node, with all that it puts on a node: nothing is downloaded there, and nothing else is inside, no
# shell, no library. For several architectures: `docker buildx build --platform linux/amd64,linux/arm64 .`
#   default              compiled here, from source
#   --target prebuilt    from programs in the build context: prebuilt/<amd64 or arm64>/{run-wasm-node,containerd-shim-run-v2,run-wasm}
# BASE is what the programs are compiled on: a Debian. docs/kubernetes.md says how to build without a network.
ARG BASE=debian:trixie-slim

FROM scratch AS image
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="run-wasm" \
      org.opencontainers.image.description="WebAssembly components as Kubernetes containers: the node installer, the containerd shim, the command line" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
# The installer runs programs of the node in its root, by this PATH as well.
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# What `helm test` runs, as Wasm.
COPY test-images/wat/hello.wat /hello.wat
ENTRYPOINT ["run-wasm-node"]

FROM image AS prebuilt
ARG TARGETARCH
COPY prebuilt/$TARGETARCH/ /usr/local/bin/

FROM $BASE AS tools
COPY rust-toolchain.toml /source/
COPY scripts /source/scripts
# In this form, because images of OCI's format have no SHELL.
RUN ["/bin/bash", "-euc", "for part in common debian rust prerequisites; do . /source/scripts/lib/$part.sh; done; ensure_build_tools"]

FROM tools AS build
COPY . /source
WORKDIR /source
# .cargo/config.toml names one machine; an image is of the one that it is built on.
RUN ["/bin/bash", "-euc", "\
    PATH+=:$HOME/.cargo/bin target=$(uname -m)-unknown-linux-gnu; \
    cargo build --release --locked --target $target --package run-wasm-shim --package run-wasm-cli --package run-wasm-node --bins; \
    mkdir /programs; cp target/$target/release/{run-wasm-node,containerd-shim-run-v2,run-wasm} /programs/"]

FROM image
COPY --from=build /programs/ /usr/local/bin/
