// The conversation of a command that waits: lines of tunnels as they are decided, questions one after another, never mixed.
import { Secret } from '../model/secret.ts';
import type { UpProgress } from '../control/protocol.ts';
import type { Way } from '../model/host.ts';
import type { PendingQuestion } from '../model/question.ts';
import { shortPath } from '../config/locate.ts';
import { attributed } from '../render/attributed.ts';
import { exposureNotes, renderTunnelLine } from '../render/status.ts';
import type { Context, Interruption, Outcome, Prompter } from '../client/context.ts';
import { hopHeading } from './hop-heading.ts';
import { WaitingNotice, type WaitingNoticeParts } from './waiting-notice.ts';
import { addressOf } from './prompt.ts';
import type { ErrorReport } from '../errors.ts';
import { groupFailures, listNames } from '../render/error.ts';
import { count } from '../render/units.ts';

export interface Conversation extends Disposable {
  /** Takes one progress of `up`, `restart` or `wait`. */
  readonly progress: (progress: UpProgress) => void;
  /** Resolves when no question is on the screen and everything said before has been printed. */
  readonly settled: () => Promise<void>;
  /** Nothing of what was waited for is on the screen any more. Idempotent; disposing it does the same. */
  readonly waitsNoMore: () => void;
}

export interface ConversationParts {
  readonly context: Context;
  readonly interruption: Interruption;
  /** Sends an answer; null declines. */
  readonly answer: (questionId: string, value: Secret | null) => Promise<void>;
  /** Hears of every answer that was typed. */
  readonly typed?: (question: PendingQuestion, value: Secret) => void;
  /** Where the tunnels go: a hop is introduced as one of several. */
  readonly ways?: readonly Way[];
  /** False: stdout is not ours, so what comes up is told by nothing but its end. Default true. */
  readonly lines?: boolean;
  /** What the command waits for is told after a while. */
  readonly waiting?: Pick<WaitingNoticeParts, 'timeoutMs' | 'look' | 'isMeant'>;
}

export function createConversation(parts: ConversationParts): Conversation {
  const { context } = parts;
  const stored = createStoredNotices(context);
  const asking = createAsking(parts, stored.expect);
  const notice =
    parts.waiting === undefined
      ? null
      : new WaitingNotice({ context, ...parts.waiting, isBusy: asking.isBusy });
  /** Said at once, or after the question that is on the screen. */
  const say = (show: () => void): void => asking.after(show);
  return {
    async settled() {
      await asking.idle();
      await stored.tell();
    },
    waitsNoMore: () => notice?.end(),
    [Symbol.dispose]: () => notice?.end(),
    progress: (progress) => {
      notice?.before(progress);
      if (stored.expects()) asking.after(stored.tell);
      switch (progress.kind) {
        case 'question':
          return asking.ask(progress.question);
        case 'withdrawn':
          return asking.withdraw(progress.question);
        case 'banner':
          return say(() => showBanner(context, progress.host, progress.text));
        case 'notice':
          return say(() => context.talk(progress.text));
        case 'settled':
          return say(() => showTunnel(context, progress, parts.lines ?? true));
      }
    },
  };
}

function showBanner(context: Context, host: string, text: string): void {
  for (const line of attributed(`${host} says`, text, context.stderr.columns)) context.talk(line);
}

function showTunnel(
  context: Context,
  { tunnel }: Extract<UpProgress, { kind: 'settled' }>,
  lines: boolean,
): void {
  if (context.options.json && lines) return;
  if (lines) context.out(renderTunnelLine(tunnel, context.paint));
  for (const note of exposureNotes(tunnel)) context.talk(note);
}

interface Asking {
  ask(question: PendingQuestion): void;
  withdraw(questionId: string): void;
  after(show: () => Promise<void> | void): void;
  readonly isBusy: () => boolean;
  readonly idle: () => Promise<void>;
}

/** One question at a time, in the order they came; what was withdrawn before its turn is never shown. */
function createAsking(parts: ConversationParts, trusted: (fingerprint: string) => void): Asking {
  const withdrawals = new Map<string, AbortController>();
  let prompter: Prompter | null = null;
  let busy = 0;
  let last: Promise<void> = Promise.resolve();
  const enqueue = (task: () => Promise<void> | void): void => {
    busy += 1;
    last = last.then(task).finally(() => (busy -= 1));
  };
  return {
    ask(question) {
      if (withdrawals.has(question.id)) return; // the same link waits under several tunnels
      const controller = new AbortController();
      withdrawals.set(question.id, controller);
      enqueue(async () => {
        if (controller.signal.aborted || parts.interruption.signal.aborted) return;
        prompter ??= parts.context.prompter();
        const gone = AbortSignal.any([controller.signal, parts.interruption.signal]);
        const outcome = await prompter.question(question, gone, hopHeading(question, parts.ways ?? []));
        if (outcome.kind === 'answered' && question.fingerprint !== null) trusted(question.fingerprint);
        await answerWith(parts, question, outcome);
      });
    },
    withdraw(questionId) {
      withdrawals.get(questionId)?.abort();
      withdrawals.delete(questionId);
    },
    after(show) {
      if (busy > 0) return enqueue(show);
      const shown = show();
      if (shown !== undefined) enqueue(() => shown);
    },
    isBusy: () => busy > 0,
    idle: async () => {
      while (busy > 0) await last;
    },
  };
}

interface StoredNotices {
  readonly expects: () => boolean;
  readonly expect: (fingerprint: string) => void;
  /** Says where keys that were said yes to now stand; a key is stored once the server has proved it. */
  readonly tell: () => Promise<void>;
}

function createStoredNotices(context: Context): StoredNotices {
  const expected = new Set<string>();
  const { knownHosts } = context.places;
  return {
    expects: () => expected.size > 0,
    expect: (fingerprint) => void expected.add(fingerprint),
    async tell() {
      if (expected.size === 0) return;
      const { createTrustStore } = await import('../trust/store.ts');
      const known = await createTrustStore({ file: knownHosts, now: context.now })
        .read([])
        .catch(() => null); // a store that cannot be read has been complained about by the login
      for (const { fingerprint, line } of known?.entries.toReversed() ?? []) {
        if (expected.delete(fingerprint))
          context.talk(`stored in ${shortPath(knownHosts, context.facts)}:${line}`);
      }
    },
  };
}

async function answerWith(
  parts: ConversationParts,
  question: PendingQuestion,
  outcome: Outcome,
): Promise<void> {
  switch (outcome.kind) {
    case 'answered': {
      const value = new Secret(outcome.value);
      parts.typed?.(question, value);
      return parts.answer(question.id, value);
    }
    case 'declined':
      return parts.answer(question.id, null);
    case 'interrupted':
      return parts.interruption.interrupt('SIGINT');
    case 'withdrawn':
      if (!parts.interruption.signal.aborted)
        parts.context.talk(`${addressOf(question.endpoint)}: answered elsewhere`);
  }
}

/** `selected`: how many tunnels the command was about; a name is only said where it tells something. */
export function showFailures(
  context: Context,
  failures: readonly { readonly tunnel: string; readonly error: ErrorReport }[],
  selected: number,
): void {
  for (const { tunnels, error } of groupFailures(failures)) {
    const who =
      tunnels.length > 1
        ? `${count(tunnels.length, 'tunnel')} (${listNames(tunnels)}): `
        : selected > 1
          ? `${tunnels[0] ?? ''}: `
          : '';
    context.complain({ ...error, message: who + error.message });
  }
}
