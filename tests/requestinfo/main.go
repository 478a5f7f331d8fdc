// Command requestinfo reads requests as kube-apiserver does.
//
// It reads lines of JSON on its standard input, each with a method and a request target (path and
// query, as it stands in the request line), and writes one line of JSON for each: what Kubernetes' own
// RequestInfo resolver makes of it, and the query as net/url decodes it. The target goes through
// http.ReadRequest, so that Go's own reading of it takes part.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/klog/v2"
)

type line struct {
	Method string `json:"method"`
	Target string `json:"target"`
}

type answer struct {
	// Error says why there is no answer: Go could not read the request, or the resolver failed.
	Error         string     `json:"error"`
	Resource      bool       `json:"isResource"`
	Path          string     `json:"path"`
	Verb          string     `json:"verb"`
	Prefix        string     `json:"prefix"`
	Group         string     `json:"group"`
	Version       string     `json:"version"`
	Namespace     string     `json:"namespace"`
	Kind          string     `json:"resource"`
	Subresource   string     `json:"subresource"`
	Name          string     `json:"name"`
	Parts         []string   `json:"parts"`
	FieldSelector string     `json:"fieldSelector"`
	LabelSelector string     `json:"labelSelector"`
	Query         url.Values `json:"query"`
	// ListError says why the query cannot be the options of a list, if it cannot.
	ListError string `json:"listError"`
}

func main() {
	// The resolver reports options that it cannot decode to klog.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "requestinfo:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	resolver := &request.RequestInfoFactory{
		APIPrefixes:          sets.NewString("api", "apis"),
		GrouplessAPIPrefixes: sets.NewString("api"),
	}
	requests := json.NewDecoder(bufio.NewReaderSize(in, 1<<20))
	buffer := bufio.NewWriterSize(out, 1<<20)
	answers := json.NewEncoder(buffer)
	answers.SetEscapeHTML(false)
	for {
		var next line
		if err := requests.Decode(&next); err == io.EOF {
			return buffer.Flush()
		} else if err != nil {
			return err
		}
		if err := answers.Encode(resolve(resolver, next)); err != nil {
			return err
		}
	}
}

func resolve(resolver *request.RequestInfoFactory, next line) answer {
	text := next.Method + " " + next.Target + " HTTP/1.1\r\nHost: kubernetes\r\n\r\n"
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		return answer{Error: "read: " + err.Error()}
	}
	info, err := resolver.NewRequestInfo(req)
	if err != nil {
		return answer{Error: "resolve: " + err.Error()}
	}
	listError := ""
	options := internalversion.ListOptions{}
	if err := scheme.ParameterCodec.DecodeParameters(req.URL.Query(), metav1.SchemeGroupVersion, &options); err != nil {
		listError = err.Error()
	}
	return answer{
		ListError:     listError,
		Resource:      info.IsResourceRequest,
		Path:          info.Path,
		Verb:          info.Verb,
		Prefix:        info.APIPrefix,
		Group:         info.APIGroup,
		Version:       info.APIVersion,
		Namespace:     info.Namespace,
		Kind:          info.Resource,
		Subresource:   info.Subresource,
		Name:          info.Name,
		Parts:         info.Parts,
		FieldSelector: info.FieldSelector,
		LabelSelector: info.LabelSelector,
		Query:         req.URL.Query(),
	}
}
