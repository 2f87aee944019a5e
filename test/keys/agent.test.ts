// Agents that mean harm: whatever they answer, whoever asked hears of it, and nothing grows.
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { openAgent, type Agent } from '../../src/keys/agent.ts';
import { systemClock, type Clock } from '../../src/model/clock.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { manualClock } from '../helpers/manual-clock.ts';

const folder = temporaryFolder('bad-agent');
const open: { server: Server; agent: Agent; sockets: Set<Socket> }[] = [];
afterEach(async () => {
  for (const { server, agent, sockets } of open.splice(0)) {
    agent.close();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
});

let names = 0;
async function agentThat(answers: (socket: Socket) => void, clock: Clock = systemClock): Promise<Agent> {
  const path = join(folder, `${(names += 1)}.sock`);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('data', () => answers(socket));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const agent = await openAgent(path, clock);
  open.push({ server, agent, sockets });
  return agent;
}

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const frame = (...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  return Buffer.concat([uint32(body.length), body]);
};
const keys = Buffer.of(12);

describe('an agent', () => {
  test.each([
    ['a frame of no bytes', uint32(0)],
    ['a frame of more than 256 KiB', uint32(256 * 1024 + 1)],
    ['a frame of 2^32-1 bytes', uint32(2 ** 32 - 1)],
    ['2^32-1 keys, and none of them', frame(keys, uint32(2 ** 32 - 1))],
    ['a key longer than its answer', frame(keys, uint32(1), uint32(2 ** 31), Buffer.alloc(100))],
    ['a key that is none', frame(keys, uint32(1), uint32(3), Buffer.from('key'), uint32(0))],
    ['a list without its number', frame(keys)],
  ])('that answers with %s does not speak the protocol', async (_what, answer) => {
    const agent = await agentThat((socket) => socket.write(answer));
    await expect(agent.list()).rejects.toThrow('it does not speak the agent protocol');
  });

  test('that never answers is given up in time, and so is whoever asks it again', async () => {
    const clock = manualClock();
    const agent = await agentThat(() => undefined, clock);
    const asked = expect(agent.list()).rejects.toThrow('it did not answer within 5s');
    clock.advance(5000);
    await asked;
    await expect(agent.list()).rejects.toThrow('it did not answer within 5s');
    expect(clock.armed()).toBe(0);
  });

  test('that sends its answer byte by byte for ever is given up in time, too', async () => {
    const clock = manualClock();
    let bytes = 0;
    const agent = await agentThat((socket) => {
      socket.write(uint32(1000));
      const more = (): void => {
        bytes += 1;
        if (bytes < 500) socket.write(Buffer.of(0), () => setImmediate(more));
      };
      more();
    }, clock);
    const asked = expect(agent.list()).rejects.toThrow('it did not answer within 5s');
    await expect.poll(() => bytes).toBe(500);
    clock.advance(5000);
    await asked;
  });

  test('that answers what nobody asked is believed nothing more: the next answer could be anybody’s', async () => {
    const extra = Array.from({ length: 100 }, () => frame(Buffer.of(14), uint32(0)));
    const agent = await agentThat((socket) =>
      socket.write(Buffer.concat([frame(keys, uint32(0)), ...extra])),
    );
    expect(await agent.list()).toEqual([]);
    await expect(agent.sign(Buffer.alloc(1), Buffer.alloc(1), 0)).rejects.toThrow(
      'it does not speak the agent protocol',
    );
  });

  test('that names a key in escape sequences has a plain name for it', async () => {
    const blob = Buffer.concat([uint32(11), Buffer.from('ssh-ed25519'), uint32(32), Buffer.alloc(32, 7)]);
    const comment = Buffer.from('\u001b[2Jmine\u0007\u202e');
    const agent = await agentThat((socket) =>
      socket.write(frame(keys, uint32(1), uint32(blob.length), blob, uint32(comment.length), comment)),
    );
    expect((await agent.list()).map((key) => key.comment)).toEqual(['mine']);
  });
});
