// A throwaway world: a home of its own, a server that knows one key, a service only that server reaches, and a config.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateKey, startDemoServer, type DemoServer } from './ssh-server.ts';
import { startUppercase, type UppercaseService } from './uppercase.ts';

export interface Sandbox extends AsyncDisposable {
  /** Below it everything is: TUNNEL_HOME. */
  readonly folder: string;
  readonly config: string;
  readonly server: DemoServer;
  readonly service: UppercaseService;
  /** The name by which the server, and nobody else, knows the service. */
  readonly target: string;
  readonly tunnel: string;
  /** Environment for the program to run in: nothing of the user's home is seen. */
  readonly env: Readonly<Record<string, string>>;
}

const target = 'uppercase.internal:12000';

/** Makes it all below `tmpdir`. Disposing ends the server and the service and removes the folder. */
export async function createSandbox(
  tmpdir: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Sandbox> {
  const folder = mkdtempSync(join(tmpdir, 'tunnel-demo-'));
  const home = join(folder, 'home');
  mkdirSync(home, { mode: 0o700 });
  const key = generateKey();
  const identity = join(folder, 'id_ed25519');
  writeFileSync(identity, key.private, { mode: 0o600 });
  const routes: Record<string, { host: string; port: number }> = {};
  const server = await startDemoServer({ user: 'demo', authorizedKey: key.public, routes });
  const service = await startUppercase((port) => server.dialledFrom.has(port));
  routes[target] = { host: '127.0.0.1', port: service.port };
  const config = join(folder, 'tunnels.yaml');
  writeFileSync(config, configText(server.port, identity), { mode: 0o600 });
  chmodSync(config, 0o600);
  return {
    folder,
    config,
    server,
    service,
    target,
    tunnel: 'uppercase',
    env: sandboxEnvironment(env, folder, home),
    async [Symbol.asyncDispose]() {
      await server.stop();
      await service.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function configText(port: number, identity: string): string {
  return [
    'hosts:',
    '  demo:',
    '    hostname: 127.0.0.1',
    `    port: ${port}`,
    '    user: demo',
    `    identity: [${JSON.stringify(identity)}]`,
    '    agent: false',
    'tunnels:',
    '  uppercase:',
    '    host: demo',
    '    local: auto',
    `    remote: ${target}`,
    '',
  ].join('\n');
}

const passedOn =
  /^(PATH|LANG|LC_.*|TERM|COLORTERM|NO_COLOR|FORCE_COLOR|CLICOLOR.*|SystemRoot|TEMP|TMP|TMPDIR)$/;

function sandboxEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  folder: string,
  home: string,
): Record<string, string> {
  const kept = Object.entries(env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && passedOn.test(entry[0]),
  );
  return { ...Object.fromEntries(kept), HOME: home, TUNNEL_HOME: folder };
}
