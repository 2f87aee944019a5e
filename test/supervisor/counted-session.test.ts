// A counted session: channels are counted from their opening to their end, and pass on all that their reader promises.
import { expect, test } from 'vitest';
import type { Channel, ChannelReader, Session } from '../../src/model/session.ts';
import { CountedSession } from '../../src/supervisor/counted-session.ts';

function readerThat(letsGo: boolean | undefined): ChannelReader {
  const nothing = (): void => undefined;
  return {
    ...(letsGo === undefined ? {} : { letsGo }),
    data: nothing,
    end: nothing,
    drain: nothing,
    closed: nothing,
  };
}

/** A session whose channels tell who was attached to them. */
function rawSession(): { session: Session; readers: ChannelReader[] } {
  const readers: ChannelReader[] = [];
  const channel: Channel = {
    attach: (reader) => void readers.push(reader),
    consumed: () => undefined,
    write: () => true,
    end: () => undefined,
    close: () => undefined,
  };
  const session: Partial<Session> = { openChannel: () => Promise.resolve(channel) };
  return { session: session as Session, readers };
}

async function openOne(counted: CountedSession): Promise<Channel> {
  const target = { kind: 'tcp', host: 'db', port: 1 } as const;
  return counted.openChannel(target, { host: '127.0.0.1', port: 2 }, { timeoutMs: 1000 });
}

test('the promise to let go of what was consumed reaches the link, and only when it was given', async () => {
  const { session, readers } = rawSession();
  const counted = new CountedSession(session);
  for (const promise of [true, false, undefined]) (await openOne(counted)).attach(readerThat(promise));
  expect(readers.map(({ letsGo }) => letsGo === true)).toEqual([true, false, false]);
});

test('a channel counts until it is closed, attached or not', async () => {
  const { session, readers } = rawSession();
  const counted = new CountedSession(session);
  const unattached = await openOne(counted);
  (await openOne(counted)).attach(readerThat(true));
  expect(counted.openChannels).toBe(2);
  unattached.close();
  expect(counted.openChannels).toBe(1);
  readers[0]?.closed(true);
  expect(counted.openChannels).toBe(0);
});
