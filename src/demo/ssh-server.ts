// An embedded SSH server with faults on demand: what the demo, and tests without an sshd, dial.
import { createServer, connect, type Server as NetServer, type Socket } from 'node:net';
import { createHash } from 'node:crypto';
import ssh2 from 'ssh2';
import type { AuthContext, Connection, ParsedKey, ServerChannel, TcpipRequestInfo } from 'ssh2';
import { resetSocket } from '../model/reset-socket.ts';

export interface DemoServerOptions {
  readonly user: string;
  /** OpenSSH public key line that may log in. */
  readonly authorizedKey: string;
  /** Where a name and port lead that only this server knows; everything else is dialled as it is. */
  readonly routes?: Readonly<Record<string, { readonly host: string; readonly port: number }>>;
}

export interface DemoFaults {
  /** Every login is refused. */
  refuseLogin: boolean;
  /** Every channel is refused as prohibited. */
  refuseForward: boolean;
}

export interface DemoServer extends AsyncDisposable {
  /** The same through every stop and start. */
  readonly port: number;
  /** SHA256:… of the present host key. */
  readonly fingerprint: string;
  readonly faults: DemoFaults;
  /** Logins that succeeded so far, and attempts of all kinds. */
  readonly logins: number;
  readonly attempts: number;
  /** Local ports of the connections that this server made to targets. */
  readonly dialledFrom: ReadonlySet<number>;
  /** Ends every connection with a reset; new ones are served. */
  dropAll(): void;
  /** Stops reading everything, new connections too: the peer hears nothing any more. */
  freeze(): void;
  thaw(): void;
  /** A fresh host key for connections from now on. */
  changeHostKey(): void;
  /** Nothing listens and every connection is reset. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

/**
 * A fresh ed25519 key pair in OpenSSH's format.
 * ssh2 1.17 writes about one pair in 200 that nobody can read (a leading zero byte is lost): those are thrown away.
 */
export function generateKey(): { readonly private: string; readonly public: string } {
  for (;;) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519', { comment: 'tunnel demo' });
    const secret = parseOne(pair.private);
    const open = parseOne(pair.public);
    const proof = Buffer.from('proof');
    if (secret !== null && open !== null && open.verify(proof, secret.sign(proof)) === true) return pair;
  }
}

function parseOne(text: string): ParsedKey | null {
  const parsed = ssh2.utils.parseKey(text);
  return parsed instanceof Error ? null : parsed;
}

/** Listens on a loopback port of the system's choice. */
export async function startDemoServer(options: DemoServerOptions): Promise<DemoServer> {
  const server = new EmbeddedServer(options);
  await server.start();
  return server;
}

class EmbeddedServer implements DemoServer {
  port = 0;
  fingerprint = '';
  logins = 0;
  attempts = 0;
  readonly faults: DemoFaults = { refuseLogin: false, refuseForward: false };
  readonly dialledFrom = new Set<number>();
  readonly #options: DemoServerOptions;
  readonly #authorized: ParsedKey;
  readonly #sockets = new Set<Socket>();
  #waiting: Socket[] = [];
  #frozen = false;
  #ssh: ssh2.Server;
  #listener: NetServer | null = null;

  constructor(options: DemoServerOptions) {
    const authorized = parseOne(options.authorizedKey);
    if (authorized === null) throw new Error('the authorized key cannot be read');
    this.#options = options;
    this.#authorized = authorized;
    this.#ssh = this.#withKey(generateKey().private);
  }

  async start(): Promise<void> {
    const listener = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject);
      listener.listen(this.port, '127.0.0.1', resolve);
    });
    const address = listener.address();
    this.port = typeof address === 'object' && address !== null ? address.port : 0;
    this.#listener = listener;
  }

  async stop(): Promise<void> {
    const listener = this.#listener;
    this.#listener = null;
    const closed = new Promise<void>((resolve) =>
      listener === null ? resolve() : listener.close(() => resolve()),
    );
    this.dropAll();
    await closed;
  }

  dropAll(): void {
    for (const socket of this.#sockets) resetSocket(socket);
  }

  freeze(): void {
    this.#frozen = true;
    for (const socket of this.#sockets) socket.pause();
  }

  thaw(): void {
    this.#frozen = false;
    for (const socket of this.#sockets) socket.resume();
    for (const socket of this.#waiting.splice(0)) if (!socket.destroyed) this.#ssh.injectSocket(socket);
  }

  changeHostKey(): void {
    this.#ssh = this.#withKey(generateKey().private);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #withKey(hostKey: string): ssh2.Server {
    const blob = parseOne(hostKey)?.getPublicSSH() ?? Buffer.alloc(0);
    const digest = createHash('sha256').update(blob).digest('base64').replace(/=+$/, '');
    this.fingerprint = `SHA256:${digest}`;
    return new ssh2.Server({ hostKeys: [hostKey], ident: 'tunnel-demo' }, (client) => this.#serve(client));
  }

  #accept(socket: Socket): void {
    socket.on('error', () => socket.destroy()); // resets are what this server is for
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    if (this.#frozen) this.#waiting.push(socket);
    else this.#ssh.injectSocket(socket);
  }

  #serve(client: Connection): void {
    client.on('error', () => undefined); // a client that vanished: its socket's close cleans up
    client.on('authentication', (context) => this.#authenticate(context));
    client.on('ready', () => {
      this.logins += 1;
      client.on('tcpip', (accept, reject, target) => {
        if (this.faults.refuseForward) reject();
        else this.#forward(accept, reject, target);
      });
    });
  }

  #authenticate(context: AuthContext): void {
    if (context.method !== 'none') this.attempts += 1;
    const known =
      context.method === 'publickey' &&
      !this.faults.refuseLogin &&
      context.username === this.#options.user &&
      context.key.data.equals(this.#authorized.getPublicSSH());
    if (!known) return context.reject(['publickey']);
    const { signature, blob } = context;
    if (signature === undefined || blob === undefined) return context.accept(); // only asks whether the key would do
    if (this.#authorized.verify(blob, signature, context.hashAlgo) === true) context.accept();
    else context.reject(['publickey']);
  }

  #forward(accept: () => ServerChannel, reject: () => void, target: TcpipRequestInfo): void {
    const route = this.#options.routes?.[`${target.destIP}:${target.destPort}`];
    const { host, port } = route ?? { host: target.destIP, port: target.destPort };
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      const from = socket.localPort ?? 0;
      this.dialledFrom.add(from);
      socket.once('close', () => this.dialledFrom.delete(from));
      socket.off('error', reject);
      join(socket, accept());
    });
  }
}

/** Both directions, half-close kept; whatever ends badly ends the other side too. */
function join(socket: Socket, channel: ServerChannel): void {
  socket.on('error', () => channel.close());
  channel.on('error', () => socket.destroy());
  channel.once('close', () => socket.destroy());
  socket.pipe(channel);
  channel.pipe(socket);
}
