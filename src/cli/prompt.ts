// Questions as a person sees them (SPEC 7): host keys with their picture, hidden passphrases, a server's own words marked as such.
import { visibleText } from '../model/clean.ts';
import type { PendingQuestion } from '../model/question.ts';
import { readFingerprint } from '../keys/fingerprint.ts';
import { attributed } from '../render/attributed.ts';
import type { Context, Outcome, Prompter } from '../client/context.ts';
import { createLineReader, type LineReader, type Reading } from './line-reader.ts';

/** Talks on stderr and reads stdin: only for a context that is interactive. */
export function createPrompter(context: Pick<Context, 'stdin' | 'stderr' | 'talkPaint'>): Prompter {
  const reader = createLineReader(context.stdin, context.stderr);
  const say = (line: string): void => void context.stderr.write(`${visibleText(line)}\n`);
  /** The row that the answer is typed on; what a server asks at length stands above it. */
  const promptFor = (question: PendingQuestion): string => {
    const rows = secretPrompt(question, context.stderr.columns);
    for (const row of rows.slice(0, -1)) say(row);
    const last = rows.at(-1) ?? '';
    return question.fromServer ? last : context.talkPaint.bold(last);
  };
  return {
    question: (question, signal, heading) =>
      question.kind === 'host-key'
        ? askHostKey({ reader, say }, question, signal, heading)
        : askSecret(reader, promptFor(question), question.echo, signal),
    async line(text, otherwise) {
      const bracket = otherwise === null ? '' : ` [${otherwise}]`;
      const reading = await reader.read(`${text}${bracket}: `, { echo: true });
      if (reading.kind !== 'line') return outcomeOf(reading);
      const value = reading.text.trim() || otherwise;
      return value === null ? { kind: 'declined' } : { kind: 'answered', value };
    },
    async confirm(text) {
      for (;;) {
        const reading = await reader.read(`${text} [no]: `, { echo: true });
        if (reading.kind !== 'line') return outcomeOf(reading);
        const word = reading.text.trim().toLowerCase();
        if (word === 'yes' || word === 'y') return { kind: 'answered', value: 'yes' };
        if (word === '' || word === 'no' || word === 'n') return { kind: 'declined' };
        say('Please answer yes or no.');
      }
    },
  };
}

function outcomeOf(reading: Exclude<Reading, { kind: 'line' }>): Outcome {
  return reading.kind === 'end' ? { kind: 'declined' } : reading;
}

/** The address without its user: `katie.example.org:22`. */
export function addressOf(endpoint: string): string {
  return endpoint.slice(endpoint.lastIndexOf('@') + 1);
}

/** The lines above "Trust it?". */
export function introduceKey(
  key: Pick<PendingQuestion, 'endpoint' | 'keyType' | 'fingerprint' | 'randomart'>,
  heading = `${addressOf(key.endpoint)} is new here.`,
): string[] {
  const type = (key.keyType ?? '').replace(/^ssh-/, '');
  return [
    `${heading} Its ${type} key:`,
    `  ${key.fingerprint ?? ''}`,
    ...key.randomart.map((line) => `  ${line}`),
  ];
}

export const trustPrompt = 'Trust it? yes, no, or paste the fingerprint you were given [no]: ';

async function askHostKey(
  { reader, say }: { readonly reader: LineReader; readonly say: (line: string) => void },
  question: PendingQuestion,
  signal: AbortSignal | undefined,
  heading: string | undefined,
): Promise<Outcome> {
  for (const line of introduceKey(question, heading)) say(line);
  for (;;) {
    const reading = await reader.read(trustPrompt, {
      echo: true,
      ...(signal === undefined ? {} : { signal }),
    });
    if (reading.kind !== 'line') return outcomeOf(reading);
    const answer = readTrust(reading.text, question.fingerprint);
    if (answer.kind === 'yes') return { kind: 'answered', value: answer.value };
    if (answer.kind === 'no') return { kind: 'declined' };
    say(answer.say);
  }
}

export type TrustAnswer =
  | { readonly kind: 'yes'; readonly value: string }
  | { readonly kind: 'no' }
  | { readonly kind: 'again'; readonly say: string };

/** Anything but a plain yes or the very fingerprint is not a yes. */
export function readTrust(text: string, fingerprint: string | null): TrustAnswer {
  const word = text.trim();
  if (/^(no?)?$/i.test(word)) return { kind: 'no' };
  if (/^yes$/i.test(word)) return { kind: 'yes', value: 'yes' };
  const pasted = readFingerprint(word);
  if (pasted === null) return { kind: 'again', say: 'Please type yes, no or the fingerprint.' };
  if (pasted === fingerprint) return { kind: 'yes', value: pasted };
  return {
    kind: 'again',
    say: `That is another key's fingerprint: this server has ${fingerprint ?? 'none'}.`,
  };
}

async function askSecret(
  reader: LineReader,
  prompt: string,
  echo: boolean,
  signal: AbortSignal | undefined,
): Promise<Outcome> {
  const reading = await reader.read(prompt, {
    echo,
    ...(signal === undefined ? {} : { signal }),
  });
  return reading.kind === 'line' ? { kind: 'answered', value: reading.text } : outcomeOf(reading);
}

/**
 * The rows of a question, the answer behind the last. A server's words carry on every row who says them; ours never look
 * like that (SPEC 4), and are bold where there is color, which a server's never are.
 */
export function secretPrompt(question: PendingQuestion, columns?: number): readonly string[] {
  const text = question.text.replace(/[:\s]+$/, '');
  if (question.fromServer) {
    const who = question.endpoint.replace(/:22$/, '');
    return attributed(`${who} asks`, `${text}:`, columns).map((row, at, rows) =>
      at === rows.length - 1 ? `${row} ` : row,
    );
  }
  const kept = question.kind === 'prompt' ? '' : ' (kept in memory until down)';
  return [`${question.tries > 0 ? 'Wrong. ' : ''}${text}${text.includes('kept in memory') ? '' : kept}: `];
}
