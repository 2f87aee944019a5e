// The conversation of a command that waits: lines of tunnels as they are decided, questions one after another, never mixed.
import { Secret } from '../model/secret.ts';
import type { UpProgress } from '../control/protocol.ts';
import type { PendingQuestion } from '../model/question.ts';
import { exposureNotes, renderTunnelLine } from '../render/line.ts';
import type { Context, Interruption } from './context.ts';
import { addressOf, createPrompter, type Outcome, type Prompter } from './prompt.ts';

export interface Conversation {
  /** Takes one progress of `up`, `restart` or `wait`. */
  readonly progress: (progress: UpProgress) => void;
  /** Resolves when no question is on the screen and everything said before has been printed. */
  readonly settled: () => Promise<void>;
}

export interface ConversationParts {
  readonly context: Context;
  readonly interruption: Interruption;
  /** Sends an answer; null declines. */
  readonly answer: (questionId: string, value: Secret | null) => Promise<void>;
}

export function createConversation(parts: ConversationParts): Conversation {
  const { context } = parts;
  const asking = createAsking(parts);
  /** Said at once, or after the question that is on the screen. */
  const say = (show: () => void): void => asking.after(show);
  return {
    settled: asking.idle,
    progress: (progress) => {
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
          return say(() => showTunnel(context, progress));
      }
    },
  };
}

function showBanner(context: Context, host: string, text: string): void {
  for (const line of text.split('\n')) context.talk(`(${host} says) ${line}`);
}

function showTunnel(context: Context, { tunnel }: Extract<UpProgress, { kind: 'settled' }>): void {
  if (context.options.json) return;
  context.out(renderTunnelLine(tunnel, context.paint));
  for (const note of exposureNotes(tunnel)) context.talk(note);
}

interface Asking {
  ask(question: PendingQuestion): void;
  withdraw(questionId: string): void;
  after(show: () => void): void;
  readonly idle: () => Promise<void>;
}

/** One question at a time, in the order they came; what was withdrawn before its turn is never shown. */
function createAsking(parts: ConversationParts): Asking {
  const withdrawals = new Map<string, AbortController>();
  let prompter: Prompter | null = parts.context.prompter;
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
        prompter ??= createPrompter(parts.context);
        const gone = AbortSignal.any([controller.signal, parts.interruption.signal]);
        await answerWith(parts, question, await prompter.question(question, gone));
      });
    },
    withdraw(questionId) {
      withdrawals.get(questionId)?.abort();
      withdrawals.delete(questionId);
    },
    after(show) {
      if (busy === 0) show();
      else enqueue(show);
    },
    idle: async () => {
      while (busy > 0) await last;
    },
  };
}

async function answerWith(
  parts: ConversationParts,
  question: PendingQuestion,
  outcome: Outcome,
): Promise<void> {
  switch (outcome.kind) {
    case 'answered':
      return parts.answer(question.id, new Secret(outcome.value));
    case 'declined':
      return parts.answer(question.id, null);
    case 'interrupted':
      return parts.interruption.interrupt('SIGINT');
    case 'withdrawn':
      if (!parts.interruption.signal.aborted)
        parts.context.talk(`${addressOf(question.endpoint)}: answered elsewhere`);
  }
}
