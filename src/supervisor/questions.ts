// Questions of logins under way, and the people who may answer them. The supervisor itself never asks (DESIGN 6).
import { TunnelError } from '../errors.ts';
import type { Host } from '../model/host.ts';
import type { Answer, PendingQuestion, Question, QuestionKind } from '../model/question.ts';
import type { Person } from './engine.ts';

/** Who has a question: a link. */
export interface Asker {
  readonly id: string;
  /** Everybody who attends a tunnel over this link. */
  persons(): readonly Person[];
  /** Its question, or what it waits for, changed. */
  changed(): void;
}

interface Pending {
  readonly question: PendingQuestion;
  readonly asker: Asker;
  readonly shownTo: Set<Person>;
  readonly settle: (answer: Answer) => void;
  readonly refuse: (error: TunnelError) => void;
}

/** The questions that wait for an answer, by id: one set for the engine. */
export class Questions {
  readonly #pending = new Map<string, Pending>();
  #last = 0;

  /** Rejects at once when nobody is there, and as soon as the last person leaves or the signal is aborted. */
  ask(asker: Asker, asked: Omit<PendingQuestion, 'id' | 'link'>, signal: AbortSignal): Promise<Answer> {
    if (signal.aborted) return Promise.reject(withdrawn(asked.host));
    if (asker.persons().length === 0) return Promise.reject(nobody(asked.host));
    this.#last += 1;
    const question: PendingQuestion = { ...asked, id: `q${this.#last}`, link: asker.id };
    return new Promise<Answer>((resolve, reject) => {
      const abort = (): void => this.#refuse(question.id, withdrawn(asked.host));
      const over = (): void => signal.removeEventListener('abort', abort);
      signal.addEventListener('abort', abort, { once: true });
      this.#pending.set(question.id, {
        question,
        asker,
        shownTo: new Set(),
        settle: (answer) => (over(), resolve(answer)),
        refuse: (error) => (over(), reject(error)),
      });
      this.offer();
      asker.changed();
    });
  }

  /** False: answered or withdrawn before. Everybody but the one who answered sees it withdrawn. */
  answer(id: string, answer: Answer, from: Person | null): boolean {
    const pending = this.#take(id, from);
    pending?.settle(answer);
    pending?.asker.changed();
    return pending !== null;
  }

  /** Shows waiting questions to people who have come since. */
  offer(): void {
    for (const { question, asker, shownTo } of this.#pending.values()) {
      for (const person of asker.persons()) {
        if (shownTo.has(person)) continue;
        shownTo.add(person);
        person.question(question);
      }
    }
  }

  /** Somebody left: questions that nobody can answer any more are refused, so that the login fails by its own cause. */
  abandon(): void {
    for (const [id, { asker, shownTo, question }] of this.#pending) {
      const present = new Set(asker.persons());
      for (const person of shownTo) if (!present.has(person)) shownTo.delete(person);
      if (present.size === 0) this.#refuse(id, nobody(question.host));
    }
  }

  of(asker: Asker): PendingQuestion | null {
    for (const pending of this.#pending.values()) if (pending.asker === asker) return pending.question;
    return null;
  }

  #refuse(id: string, error: TunnelError): void {
    const pending = this.#take(id, null);
    pending?.refuse(error);
    pending?.asker.changed();
  }

  #take(id: string, from: Person | null): Pending | null {
    const pending = this.#pending.get(id);
    if (pending === undefined) return null;
    this.#pending.delete(id);
    for (const person of pending.shownTo) if (person !== from) person.withdrawn(id);
    return pending;
  }
}

export function nobody(host: string): TunnelError {
  return new TunnelError(
    'SECRET_MISSING',
    `login failed, on ${host}: nobody is at a terminal to answer its question`,
  );
}

function withdrawn(host: string): TunnelError {
  return new TunnelError('SECRET_MISSING', `login failed, on ${host}: its question is no longer wanted`);
}

/** Why a link is not up while it waits for an answer. */
export function questionError(question: PendingQuestion): TunnelError {
  const hint = { command: 'up', note: 'asks here too; or answer at the terminal that asks' };
  const on = question.host;
  if (question.kind === 'host-key') {
    const key = question.fingerprint ?? 'its key';
    return new TunnelError(
      'HOST_KEY_UNKNOWN',
      `login waits, on ${on}: somebody is asked whether ${key} is its key`,
      {
        hint,
      },
    );
  }
  if (question.kind === 'passphrase')
    return new TunnelError('KEY_UNREADABLE', `login waits, on ${on}: somebody is asked for a passphrase`, {
      hint,
    });
  // A server's words never look like ours (SPEC 4).
  const who = question.fromServer ? `(${question.endpoint} asks) ` : '';
  return new TunnelError('SECRET_MISSING', `login waits, on ${on}: ${who}${question.text.trim()}`, { hint });
}

const kinds: readonly QuestionKind[] = ['host-key', 'passphrase', 'password', 'prompt'];

/** The question that a failed login would have asked, as far as its error's facts tell; null when they do not. */
export function questionOf(cause: TunnelError, host: Host): Question | null {
  const { question, kind: other, text, fingerprint, echo, host: at } = cause.facts;
  const kind = kinds.find((known) => known === (question ?? other));
  if (kind === undefined) return null;
  return {
    kind,
    host: at ?? host.name,
    text: text ?? cause.message,
    echo: echo === true,
    fingerprint: fingerprint ?? null,
  };
}
