// What `trust` (and any login in a command's own process) asks a person: new and changed host keys, and what jump hosts want to know.
// `up` asks about new keys alone, in conversation.ts; a changed key is asked about here and nowhere else.
import type { PresentedKey } from '../client/trusting.ts';
import { callerEnvironment } from '../model/environment.ts';
import { TunnelError } from '../errors.ts';
import { Secret } from '../model/secret.ts';
import type { Way } from '../model/host.ts';
import type { PendingQuestion } from '../model/question.ts';
import type { DialContext } from '../model/session.ts';
import {
  Interrupted,
  type Context,
  type Interruption,
  type Outcome,
  type Prompter,
} from '../client/context.ts';
import { hopHeading } from './hop-heading.ts';
import { attributed } from '../render/attributed.ts';

/** "yes", the fingerprint, or null for no. Throws HOST_KEY_UNKNOWN where nobody can be asked. */
export function confirmKey(
  context: Context,
  interruption: Interruption,
  ways: readonly Way[],
): (key: PresentedKey) => Promise<string | null> {
  return async (key) => {
    if (!context.interactive) throw unasked(key);
    const prompter = context.prompter();
    const { host, endpoint, keyType, fingerprint, randomart } = key;
    const question: PendingQuestion = { ...blank, host, endpoint, keyType, fingerprint, randomart };
    const heading = key.known.length === 0 ? hopHeading(question, ways) : otherKeyHeading(key);
    return answerOf(await prompter.question(question, interruption.signal, heading), interruption);
  };
}

function otherKeyHeading({ address, known }: PresentedKey): string {
  const keys = known.map(({ type, fingerprint, place }) => `  ${type} ${fingerprint}\n  at ${place}`);
  return `${address} is known by another key:\n${keys.join('\n')}\nNow it shows this one.`;
}

/** For a login in this process: asks at the terminal, or nobody. */
export function loginContext(
  context: Context,
  interruption: Interruption,
  ways: readonly Way[],
): DialContext {
  let prompter: Prompter | null = null;
  return {
    signal: interruption.signal,
    async ask(question) {
      if (!context.interactive) throw new Error('nobody is there to be asked');
      prompter ??= context.prompter();
      const asked = { ...question, id: '', link: '' };
      const answer = answerOf(
        await prompter.question(asked, interruption.signal, hopHeading(asked, ways)),
        interruption,
      );
      return answer === null ? null : new Secret(answer);
    },
    personPresent: () => context.interactive,
    acceptNew: false,
    onlyProven: false,
    environment: callerEnvironment(context.facts.env),
    step: () => undefined,
    banner: (text) => {
      for (const line of attributed('the server says', text, context.stderr.columns)) context.talk(line);
    },
    notice: (text) => context.talk(text),
    talk: (hop, text) => {
      for (const line of attributed(`${hop}'s proxy command says`, text, context.stderr.columns))
        context.talk(line);
    },
  };
}

const blank: PendingQuestion = {
  id: '',
  link: '',
  kind: 'host-key',
  host: '',
  endpoint: '',
  text: '',
  echo: true,
  fingerprint: null,
  keyType: null,
  randomart: [],
  fromServer: false,
  tries: 0,
};

function answerOf(outcome: Outcome, interruption: Interruption): string | null {
  if (outcome.kind === 'answered') return outcome.value;
  if (outcome.kind === 'interrupted') {
    interruption.interrupt('SIGINT');
    throw new Interrupted('SIGINT');
  }
  return null;
}

function unasked(key: PresentedKey): TunnelError {
  return new TunnelError(
    'HOST_KEY_UNKNOWN',
    `host key not trusted, on ${key.address}: ${key.keyType} ${key.fingerprint} is new, and there is no terminal to ask at`,
    {
      hint: {
        command: `trust --fingerprint ${key.fingerprint}`,
        on: { host: key.address },
        note: 'once you have compared it',
      },
    },
  );
}
