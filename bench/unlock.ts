// The row of a slow key: the longest pause in a steady flow through one tunnel while another opens a key of 100 bcrypt rounds.
import { appendFileSync, readFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { freePort } from '../test/helpers/ports.ts';
import { makeKey, startSshd } from '../test/helpers/sshd.ts';
import { createWorld } from '../test/helpers/world.ts';
import type { Form } from './form.ts';
import { goal, rowOf, type Row } from './rows.ts';
import { hostLine } from './ways.ts';

const everyMs = 10;
/** 1 MB/s in pieces of 10 ms. */
const piece = Buffer.alloc(10_000, 'x');

/** A service that sends 1 MB/s to whoever connects, on time whatever its timer does. */
async function startFlow(): Promise<Server> {
  const server = createServer((socket) => {
    const began = performance.now();
    let sent = 0;
    const timer = setInterval(() => {
      for (; sent < (performance.now() - began) / everyMs; sent += 1) socket.write(piece);
    }, everyMs);
    socket.on('error', () => undefined).on('close', () => clearInterval(timer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

interface Watch {
  /** The longest time without a byte since the last call, in milliseconds. */
  longest(): number;
  end(): void;
}

function watch(port: number): Watch {
  const socket = connect(port, '127.0.0.1');
  let [last, longest] = [performance.now(), 0];
  const look = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  };
  socket.on('data', look);
  return {
    longest() {
      const found = Math.max(longest, performance.now() - last);
      longest = 0;
      return found;
    },
    end: () => socket.destroy(),
  };
}

export async function unlock(form: Form): Promise<Row[]> {
  await using sshd = await startSshd({ config: ['LogLevel ERROR'] });
  await using world = createWorld();
  const flow = await startFlow();
  const key = makeKey(join(world.folder, 'slow'), ['-t', 'ed25519', '-a', '100'], 'two words');
  appendFileSync(sshd.authorizedKeys, readFileSync(`${key}.pub`));
  const server = { sshd, port: sshd.port };
  const local = await freePort();
  const slow = hostLine('slow', server, ', passphrase: "env:WORD"').replace(sshd.identity, key);
  world.config(`
hosts:
  ${hostLine('box', server)}
  ${slow}
tunnels:
  flow: { host: box, local: ${local}, remote: "127.0.0.1:${(flow.address() as AddressInfo).port}" }
  locked: { host: slow, local: auto, remote: 9, autostart: false }
`);
  const env = { WORD: 'two words' };
  const first = await world.run(['up', 'flow'], { env });
  if (first.code !== 0) throw new Error(first.stderr);
  const watched = watch(local);
  await new Promise((resolve) => setTimeout(resolve, 1000)); // the flow finds its step
  const [quiet, open, unlocked]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < form.rounds; round += 1) {
    watched.longest();
    await world.run(['up', 'flow'], { env }); // the same commands, and no key
    await world.run(['down', 'locked']);
    quiet.push(watched.longest());
    const began = performance.now();
    const up = await world.run(['up', 'locked'], { env });
    if (up.code !== 0) throw new Error(up.stderr);
    unlocked.push(performance.now() - began);
    open.push(watched.longest());
    await world.run(['down', 'locked']);
  }
  watched.end();
  flow.close();
  return [
    rowOf(
      {
        what: 'longest pause of a flow while a key opens',
        unit: 'ms',
        meaning: 'A steady flow of 1 MB/s while another tunnel opens a key of 100 bcrypt rounds.',
        goals: [goal('<=', { plus: 100 }, { cell: 'key of 100 rounds', figure: 'highest' })],
      },
      { 'without a key': quiet, 'key of 100 rounds': open },
    ),
    rowOf(
      {
        what: 'up with that key',
        unit: 'ms',
        meaning: 'The whole command, the key opened in it.',
        goals: [],
      },
      { tunnel: unlocked },
    ),
  ];
}
