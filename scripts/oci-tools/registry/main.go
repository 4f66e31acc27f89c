// A registry in memory that knows who refers to what (the referrers API of OCI 1.1), which Debian's docker-registry does not. It
// prints its address, and ends when its stdin does.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	go func() { log.Fatal(http.Serve(listener, ociserver.New(ocimem.New(), nil))) }()
	_, _ = io.Copy(io.Discard, os.Stdin)
}
