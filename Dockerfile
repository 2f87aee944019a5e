# The image of `tunnel up --foreground`: no root, nothing to write but /state. It stands here and not in deploy/, since
# `docker build .` and what builds images for you look here, and .dockerignore has to be beside what it ignores.
ARG NODE=20

# The full image has the compiler that ssh2's native part needs; nothing of it is in the image that runs.
FROM node:${NODE}-bookworm AS build
WORKDIR /app
COPY package.json package-lock.json tsconfig.json build.mjs ./
COPY bin ./bin
COPY src ./src
RUN npm ci && npm prune --omit=dev

FROM node:${NODE}-bookworm-slim
# tini is process 1: it buries what proxy commands leave behind, and passes signals on.
RUN apt-get update \
  && apt-get install -y --no-install-recommends tini \
  && rm -rf /var/lib/apt/lists/* \
  && ln -s /app/bin/tunnel.js /usr/local/bin/tunnel \
  && install -d -m 1777 /state
COPY --from=build /app/package.json /app/package.json
COPY --from=build /app/node_modules /app/node_modules
COPY --from=build /app/dist /app/dist
COPY --from=build /app/bin /app/bin
# The config is mounted, and keys where it says. TUNNEL_HOME is made at the start, by and for whoever runs it.
ENV TUNNEL_CONFIG=/etc/tunnel/tunnels.yaml TUNNEL_HOME=/state/tunnel
# A number, so that Kubernetes can see that it is not root. Any other will do as well.
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s CMD ["tunnel", "status", "--check"]
ENTRYPOINT ["tini", "--", "tunnel"]
CMD ["up", "--foreground"]
