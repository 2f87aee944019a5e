// An SSH server that only authenticates, by a script: for what no PAM stack of a test can ask (prompts, rounds, changes).
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import ssh2, { type AuthContext, type Connection } from 'ssh2';
import { temporaryFolder } from './folder.ts';

export interface AuthServer extends AsyncDisposable {
  readonly port: number;
  /** The methods asked for, in order, over all connections. */
  readonly requests: readonly string[];
}

/**
 * `decide` sees every request but the `none` that asks what there is; `none`, where it is given, sees those, and they are
 * among the requests then.
 */
export async function startAuthServer(
  methods: readonly string[],
  decide: (context: AuthContext, connection: Connection) => void,
  none?: (context: AuthContext) => void,
): Promise<AuthServer> {
  const keyFile = join(temporaryFolder('authsrv'), 'host');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', keyFile]);
  const requests: string[] = [];
  const open = new Set<Connection>();
  const server = new ssh2.Server({ hostKeys: [readFileSync(keyFile)] }, (connection) => {
    open.add(connection);
    connection.on('error', () => undefined);
    connection.on('close', () => open.delete(connection));
    connection.on('authentication', (context) => {
      if (context.method === 'none' && none === undefined) return context.reject([...methods] as never);
      requests.push(context.method);
      if (context.method === 'none') return none?.(context);
      decide(context, connection);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    async [Symbol.asyncDispose]() {
      for (const connection of open) connection.end();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
