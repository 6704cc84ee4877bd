#!/bin/sh
# Build the images and the chart of this version and send them to $REGISTRY (ghcr.io/owner). Called by
# .github/workflows/release.yml on a tag; `publish.sh check TAG` only says whether the tag is this version.
set -eu

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml | head -n 1)

case ${1:-publish} in
check)
    [ "${2:-}" = "v$version" ] && exit 0
    echo "The tag is '${2:-}', but pyproject.toml says $version: the tag must be v$version." >&2
    exit 1
    ;;
login)
    printf %s "$REGISTRY_PASSWORD" | docker login "${REGISTRY%%/*}" -u "$REGISTRY_USER" --password-stdin
    printf %s "$REGISTRY_PASSWORD" | helm registry login "${REGISTRY%%/*}" -u "$REGISTRY_USER" --password-stdin
    ;;
publish)
    for target in app proxy; do
        image=$REGISTRY/breakwater
        [ "$target" = app ] || image=$image-$target
        docker build -f docker/Dockerfile --target "$target" --build-arg "COMMIT=${COMMIT:-$(git rev-parse HEAD)}" \
            -t "$image:$version" .
        docker push "$image:$version"
    done
    helm package deploy/helm/breakwater --destination build
    helm push "build/breakwater-$version.tgz" "oci://$REGISTRY/charts"
    ;;
*)
    echo "usage: publish.sh [check TAG | login | publish]" >&2
    exit 2
    ;;
esac
