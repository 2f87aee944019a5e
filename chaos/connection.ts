// A checked connection, and the verdict on it once it is over. Pure but for what its two ends did.
import type { Sender } from './blocks.ts';
import { End } from './ends.ts';
import type { Script } from './script.ts';

/** A way through the tunnel. */
export interface Way {
  readonly name: string;
  /** The tunnel whose forward it is, and the forward's name. */
  readonly tunnel: string;
  readonly forward: string;
  /** `local`: clients connect to the tunnel; `remote`: to the server. */
  readonly type: 'local' | 'dynamic' | 'remote';
  /** The client's socket, or the target's, is a unix socket, which knows no reset. */
  readonly clientIsUnix: boolean;
  readonly targetIsUnix: boolean;
}

export interface Connection {
  readonly id: number;
  readonly way: Way;
  readonly script: Script;
  readonly client: End;
  readonly target: End;
  /** On the run's clock. */
  readonly startedMs: number;
  /** On everybody's clock: milliseconds since 1970. */
  readonly startedAtMs: number;
  endedMs: number | null;
  /** How long it lasted by everybody's clock, which is the program's. */
  lastedMs: number;
  /** How often it arrived at the target, and when first. */
  arrivals: number;
  arrivedMs: number | null;
  /** The connect itself failed. */
  refused: string | null;
  /** It had to be ended by the run: nothing happened for longer than its bound. */
  hung: string | null;
}

export function createConnection(id: number, way: Way, script: Script, startedMs: number): Connection {
  return {
    id,
    way,
    script,
    client: new End(id, 'client'),
    target: new End(id, 'target'),
    startedMs,
    startedAtMs: Date.now(),
    endedMs: null,
    lastedMs: 0,
    arrivals: 0,
    arrivedMs: null,
    refused: null,
    hung: null,
  };
}

export type Flaw =
  /** A byte altered, missing or repeated. */
  | 'altered'
  /** It arrived twice. */
  | 'repeated'
  /** A clean end that the other side did not send, or too early. Whose it is must be looked up. */
  | 'falseEnd'
  | 'refused'
  | 'hung'
  /** It was reset though its link was up all the time. */
  | 'cut'
  /** It was reset with a session that had been replaced, while its tunnel was up: as it must be, and told. */
  | 'oldCut'
  /** It was held, and reset before its time had run out. */
  | 'dropped'
  /** It went to the target though its client had left while it was held. */
  | 'late';

export interface Finding {
  readonly flaw: Flaw;
  readonly connection: Connection;
  /** Who sent what was read wrongly. */
  readonly sender: Sender;
  readonly text: string;
}

/** What is wrong with a connection that is over. */
export function findingsOf(connection: Connection): Finding[] {
  const { client, target, refused, hung, arrivals } = connection;
  const found: Finding[] = [];
  const add = (flaw: Flaw, sender: Sender, text: string): void =>
    void found.push({ flaw, connection, sender, text });
  if (refused !== null) add('refused', 'client', refused);
  if (hung !== null) add('hung', 'client', hung);
  if (arrivals > 1) add('repeated', 'client', `it arrived ${arrivals} times`);
  for (const [reader, sender] of [
    [target, client],
    [client, target],
  ] as const) {
    const wrong = flawOf(reader, sender);
    if (wrong !== null) add(wrong.flaw, sender.sender, wrong.text);
  }
  return found;
}

function flawOf(reader: End, sender: End): { flaw: Flaw; text: string } | null {
  const { wrong, bytes } = reader.reader;
  if (wrong !== null) return { flaw: 'altered', text: wrong };
  if (bytes > sender.sentBytes)
    return { flaw: 'altered', text: `${bytes} bytes came of ${sender.sentBytes} that were sent` };
  if (reader.seen !== 'end') return null;
  const told = `the ${reader.sender} was told of an end after ${bytes} bytes`;
  if (sender.ended === 'no')
    return { flaw: 'falseEnd', text: `${told}, and the ${sender.sender} had not ended` };
  if (sender.ended === 'close') return null;
  if (sender.ended === 'reset')
    return { flaw: 'falseEnd', text: `${told}, and the ${sender.sender} had gone with a reset` };
  if (bytes < sender.sentBytes) return { flaw: 'falseEnd', text: `${told} of ${sender.sentBytes}` };
  return null;
}
