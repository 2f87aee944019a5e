// Removing a socket on the server over SFTP, version 3 (draft-ietf-secsh-filexfer-02): the few messages that takes.
import type { Channel } from '../../model/session.ts';
import { wireReader, wireString, wireUint32, type WireReader } from '../../keys/wire.ts';

const version = 3;
const message = {
  init: 1,
  lstat: 7,
  remove: 13,
  stat: 17,
  version: 2,
  status: 101,
  attributes: 105,
} as const;
/** Nothing that is asked here has a long answer. */
const longest = 64 * 1024;
/** The file type in a mode (stat(2)). */
const typeMask = 0o170000;
const socketType = 0o140000;

/**
 * Removes `path` when it is a socket of the account that logged in; a socket of somebody else is not ours to judge.
 * True when it is gone. Closes the channel.
 */
export async function removeSocketOver(channel: Channel, path: string): Promise<boolean> {
  const talk = conversation(channel);
  try {
    const hello = await talk(message.init, wireUint32(version));
    if (hello?.kind !== message.version) return false;
    const found = attributesOf(await talk(message.lstat, wireUint32(1), wireString(path)));
    const home = attributesOf(await talk(message.stat, wireUint32(2), wireString('.')));
    if (found === null || home === null || found.user !== home.user) return false;
    if ((found.mode & typeMask) !== socketType) return false;
    const removed = await talk(message.remove, wireUint32(3), wireString(path));
    return removed?.kind === message.status && removed.body.uint32() === 3 && removed.body.uint32() === 0;
  } catch (thrown) {
    if (thrown instanceof RangeError) return false; // an answer that ends too early
    throw thrown;
  } finally {
    channel.close();
  }
}

interface Answer {
  readonly kind: number;
  readonly body: WireReader;
}

/** One request, one answer; null when the channel ends. */
function conversation(channel: Channel): (kind: number, ...parts: Buffer[]) => Promise<Answer | null> {
  let pending = Buffer.alloc(0);
  let over = false;
  let wake = (): void => undefined;
  channel.attach({
    data(chunk) {
      pending = Buffer.concat([pending, chunk]);
      channel.consumed(chunk.length);
      if (pending.length > longest) channel.close();
      wake();
    },
    end: () => undefined,
    drain: () => undefined,
    closed() {
      over = true;
      wake();
    },
  });
  const take = (): Answer | null => {
    if (pending.length < 5) return null;
    const length = pending.readUInt32BE(0);
    if (length < 1 || pending.length < 4 + length) return null;
    const body = pending.subarray(5, 4 + length);
    const kind = pending.readUInt8(4);
    pending = pending.subarray(4 + length);
    return { kind, body: wireReader(body) };
  };
  return async (kind, ...parts) => {
    channel.write(wireString(Buffer.concat([Buffer.from([kind]), ...parts])));
    for (;;) {
      const answer = take();
      if (answer !== null || over) return answer;
      await new Promise<void>((resolve) => (wake = resolve));
    }
  };
}

/** SSH_FXP_ATTRS: the owner and the mode, where the server tells both. */
function attributesOf(answer: Answer | null): { readonly user: number; readonly mode: number } | null {
  if (answer?.kind !== message.attributes) return null;
  const { body } = answer;
  body.uint32(); // the request's number
  const flags = body.uint32();
  if ((flags & 6) !== 6) return null;
  if ((flags & 1) !== 0) body.uint64(); // size
  const user = body.uint32();
  body.uint32(); // group
  return { user, mode: body.uint32() };
}
