# docker build --build-arg VERSION=$(git describe --tags --always) -t bakewatch .
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
ARG TARGETOS TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /bakewatch ./cmd/bakewatch

# static: no libc, no shell; the certificates of public authorities are there.
FROM gcr.io/distroless/static:nonroot
COPY --from=build /bakewatch /bakewatch
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/bakewatch"]
CMD ["run"]
