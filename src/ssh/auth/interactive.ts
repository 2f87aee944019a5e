// The keyboard-interactive step (RFC 4256): rounds of the server's questions, answered from sources where they fit, else asked.
import { wireString } from '../../keys/wire.ts';
import { cleanBanner } from '../../model/clean.ts';
import { Secret } from '../../model/secret.ts';
import type { AuthReply } from '../ssh2/auth.ts';
import { Codes } from './code.ts';
import type { Asked, Login } from './login.ts';
import type { Refusal, Step, StepEnd, Steps } from './methods.ts';
import { mustChange, noteMissingPassword, tellPasswordChanged } from './password.ts';
import { readPrompt, type ReadPrompt } from './prompts.ts';

/** Conversations on one connection, between two methods that the server takes. */
const mostConversations = 4;
const mostRounds = 30;
const mostPrompts = 20;
/** Conversations with a person's answers that the server refuses, on one connection. */
const mostRefusals = 3;

/** The language tag is deprecated, and naming no submethod lets the server choose (RFC 4256 3.1). */
const anyQuestions = [wireString(''), wireString('')];

export class InteractiveSteps implements Steps {
  readonly #login: Login;
  readonly #codes: Codes;
  #conversations = 0;
  /** A person answered in the conversation under way. */
  #typed = false;
  /** The password was changed in the conversation under way. */
  #changed = false;
  #refusals = 0;
  #declined = false;

  constructor(login: Login) {
    this.#login = login;
    this.#codes = new Codes(login);
  }

  next(): Step | null {
    const { context, passwords } = this.#login;
    if (this.#conversations >= mostConversations || this.#declined) return null;
    const person = context.personPresent() && this.#refusals < mostRefusals && !passwords.declined;
    // the server asks the same again, and what there was to say without a person has been said
    if (!person && this.#conversations > 0) return null;
    const personMay = person && (this.#refusals > 0 || passwords.available);
    if (!this.#codes.ready && !passwords.stored && !personMay) {
      if (!context.personPresent()) this.#conversations = mostConversations;
      return null;
    }
    return () => this.#step();
  }

  heard(end: Refusal): void {
    if (end.partial) this.#conversations = 0;
  }

  noteMissing(): void {
    this.#noteMissing('keyboard-interactive');
  }

  async #step(): Promise<StepEnd> {
    this.#conversations += 1;
    const end = await this.#codes.inTurn(() => this.#converse());
    // the server asks what nobody here can answer: asking again would change nothing
    if (end.kind === 'skipped') this.#conversations = mostConversations;
    return end;
  }

  async #converse(): Promise<StepEnd> {
    const login = this.#login;
    login.begin('keyboard-interactive');
    this.#typed = false;
    this.#changed = false;
    this.#codes.begin();
    let reply = await login.request('keyboard-interactive', anyQuestions);
    for (let round = 0; reply.kind === 'questions' && round < mostRounds; round += 1) {
      const answers = await this.#answerRound(reply);
      if (answers === null) {
        login.drop();
        login.passwords.putBack();
        return { kind: this.#declined || login.passwords.declined ? 'stop' : 'skipped' };
      }
      login.passwords.sent();
      reply = await login.wire.respond(answers);
    }
    if (reply.kind !== 'success' && reply.kind !== 'failure') return { kind: 'skipped' };
    this.#judge(reply.kind === 'success' || reply.partial);
    return login.conclude(reply);
  }

  /** Judges all answers by the server's last word, since a server does not tell which one was wrong. */
  #judge(taken: boolean): void {
    const login = this.#login;
    const { sentAtMs } = this.#codes;
    const password = login.passwords.judge(taken, sentAtMs !== null) ? 'the password or ' : '';
    if (taken && this.#changed) tellPasswordChanged(login);
    if (taken) return;
    if (this.#typed) this.#refusals += 1;
    if (this.#typed || sentAtMs !== null) login.mark('secret-refused');
    if (sentAtMs === null) return;
    login.mark('code-refused');
    const made = `${new Date(sentAtMs).toISOString().slice(0, 19)}Z`;
    login.remark(`${password}the one-time code made at ${made} was refused`);
  }

  /** Null: there is a question that nobody here can answer. */
  async #answerRound(questions: Extract<AuthReply, { kind: 'questions' }>): Promise<string[] | null> {
    const { context } = this.#login;
    const { name, instruction, prompts } = questions;
    const words = cleanBanner([name, instruction].filter((text) => text.trim() !== '').join('\n'));
    if (words !== '') context.banner(words);
    if (prompts.length > mostPrompts) {
      this.#login.remark(`keyboard-interactive: the server asks ${prompts.length} questions at once`);
      return null;
    }
    const answers: string[] = [];
    for (const { prompt, echo } of prompts) {
      const question = readPrompt(prompt);
      if (question.before !== '') context.banner(question.before);
      const answer = await this.#answer(question, echo);
      if (answer === null) return null;
      answers.push(answer.reveal());
    }
    return answers;
  }

  async #answer({ text, wants }: ReadPrompt, echo: boolean): Promise<Secret | null> {
    const { passwords } = this.#login;
    const { ready } = this.#codes;
    const kept = passwords.stored && !passwords.spent;
    if (!echo && wants === 'new-password') return this.#askNewPassword(text);
    if (!echo && wants === 'old-password') return passwords.take(text, mustChange);
    if (wants === 'password-and-code') {
      const both = ready && passwords.stored ? await this.#passwordAndCode(text) : null;
      return both ?? this.#askCode(text, echo);
    }
    if (ready && (wants === 'code' || (!echo && wants === 'unknown' && !kept))) {
      const answer = await this.#codes.next();
      if (answer !== null) return answer;
    }
    if (!echo && wants !== 'code' && (kept || wants === 'password')) return passwords.take(text);
    return this.#askCode(text, echo);
  }

  async #passwordAndCode(text: string): Promise<Secret | null> {
    const code = await this.#codes.next();
    const password = code === null ? null : await this.#login.passwords.take(text);
    return password === null || code === null ? null : new Secret(password.reveal() + code.reveal());
  }

  /** Never a stored one; what is typed is kept in its place. */
  async #askNewPassword(text: string): Promise<Secret | null> {
    const asked = await this.#ask('password', text, false);
    if (asked.kind === 'answer') {
      this.#typed = true;
      this.#changed = true;
      this.#login.passwords.changed(asked.secret);
      return asked.secret;
    }
    if (asked.kind === 'declined') this.#declined = true;
    else noteMissingPassword(this.#login, text, mustChange);
    return null;
  }

  /** Keeps no answer that is not a password: a login that needed one is attended (SPEC 3). */
  async #askCode(text: string, echo: boolean): Promise<Secret | null> {
    const asked = await this.#ask('prompt', text, echo);
    if (asked.kind === 'answer') {
      this.#typed = true;
      this.#login.mark('typed-code');
      return asked.secret;
    }
    if (asked.kind === 'declined') this.#declined = true;
    else this.#noteMissing(text);
    return null;
  }

  #ask(kind: 'password' | 'prompt', text: string, echo: boolean): Promise<Asked> {
    return this.#login.ask({ kind, text, echo, fromServer: true, tries: this.#refusals });
  }

  #noteMissing(text: string): void {
    const { host } = this.#login;
    const known =
      host.totp === null ? '; or totp: keychain under the host, for codes that an app would show' : '';
    this.#login.missing({
      code: 'SECRET_MISSING',
      why: `the server asks "${text}", and nobody is here to answer`,
      hint: [{ command: 'up', on: { host: host.name } }, ` on a terminal${known}`],
      question: { kind: 'prompt', text },
      decisive: true,
    });
  }
}
