// The keyboard-interactive step (RFC 4256): rounds of the server's questions, answered from sources where they fit, else asked.
import { cleanBanner } from '../../model/clean.ts';
import { Secret } from '../../model/secret.ts';
import { interactiveRequest } from './requests.ts';
import type { AuthReply } from '../ssh2/auth.ts';
import { ask, begin, remark, settle, type Scene, type StepEnd } from './login-scene.ts';
import { mustChange, noteMissingPassword, tellPasswordChanged, type Passwords } from './passwords.ts';
import { readPrompt, type ReadPrompt } from './prompts.ts';
import { inCodeTurn, nextCode, type CodeMemory } from './code.ts';

/** How far the sources of one login were used for answers. */
export interface InteractiveMemory extends CodeMemory {
  /** A person answered in the round trips under way. */
  typed: boolean;
  /** Rounds with a person's answers that the server refused, on this connection. */
  refusals: number;
  declined: boolean;
  /** The password was changed in the conversation under way. */
  changed: boolean;
}

export function startInteractive(): InteractiveMemory {
  return {
    totpSpent: false,
    codeAtMs: null,
    typed: false,
    refusals: 0,
    declined: false,
    changed: false,
  };
}

const mostRounds = 30;
const mostPrompts = 20;

export function answerQuestions(
  scene: Scene,
  passwords: Passwords,
  memory: InteractiveMemory,
): Promise<StepEnd> {
  return inCodeTurn(scene, memory, () => converse(scene, passwords, memory));
}

async function converse(scene: Scene, passwords: Passwords, memory: InteractiveMemory): Promise<StepEnd> {
  begin(scene, 'keyboard-interactive');
  memory.typed = false;
  memory.codeAtMs = null;
  memory.changed = false;
  let reply = await scene.wire.request('keyboard-interactive', interactiveRequest(scene.host.user));
  for (let round = 0; reply.kind === 'questions' && round < mostRounds; round += 1) {
    const answers = await answerRound(scene, reply, passwords, memory);
    if (answers === null) {
      scene.current = null;
      passwords.putBack();
      return { kind: memory.declined || passwords.declined ? 'stop' : 'skipped' };
    }
    passwords.sent();
    reply = await scene.wire.respond(answers);
  }
  if (reply.kind !== 'success' && reply.kind !== 'failure') return { kind: 'skipped' };
  judge(scene, reply.kind === 'success' || reply.partial, passwords, memory);
  settle(scene, reply);
  return reply;
}

/** Null: there is a question that nobody here can answer. */
async function answerRound(
  scene: Scene,
  questions: Extract<AuthReply, { kind: 'questions' }>,
  passwords: Passwords,
  memory: InteractiveMemory,
): Promise<string[] | null> {
  const { name, instruction, prompts } = questions;
  const words = cleanBanner([name, instruction].filter((text) => text.trim() !== '').join('\n'));
  if (words !== '') scene.context.banner(words);
  if (prompts.length > mostPrompts) {
    remark(scene, `keyboard-interactive: the server asks ${prompts.length} questions at once`);
    return null;
  }
  const answers: string[] = [];
  for (const { prompt, echo } of prompts) {
    const question = readPrompt(prompt);
    if (question.before !== '') scene.context.banner(question.before);
    const answer = await answerOne(scene, question, echo, passwords, memory);
    if (answer === null) return null;
    answers.push(answer.reveal());
  }
  return answers;
}

/** What the server's last word says of the answers: of all of them, since it does not tell which was wrong. */
function judge(scene: Scene, taken: boolean, passwords: Passwords, memory: InteractiveMemory): void {
  const { notes } = scene;
  const { codeAtMs } = memory;
  const password = passwords.judge(taken, codeAtMs !== null) ? 'the password or ' : '';
  if (taken && memory.changed) tellPasswordChanged(scene);
  if (taken) return;
  if (memory.typed) memory.refusals += 1;
  if (memory.typed || codeAtMs !== null) notes.secretRefused = true;
  if (codeAtMs === null) return;
  notes.codeRefused = true;
  remark(
    scene,
    `${password}the one-time code made at ${new Date(codeAtMs).toISOString().slice(0, 19)}Z was refused`,
  );
}

async function answerOne(
  scene: Scene,
  { text, wants }: ReadPrompt,
  echo: boolean,
  passwords: Passwords,
  memory: InteractiveMemory,
): Promise<Secret | null> {
  const totpReady = scene.host.totp !== null && !memory.totpSpent;
  const kept = passwords.stored() && !passwords.spent;
  if (!echo && wants === 'new-password') return askNewPassword(scene, text, passwords, memory);
  if (!echo && wants === 'old-password') return passwords.take(text, mustChange);
  if (wants === 'password-and-code') {
    const both =
      totpReady && passwords.stored() ? await passwordAndCode(scene, text, passwords, memory) : null;
    return both ?? askCode(scene, text, echo, memory);
  }
  if (totpReady && (wants === 'code' || (!echo && wants === 'unknown' && !kept))) {
    const answer = await nextCode(scene, memory);
    if (answer !== null) return answer;
  }
  if (!echo && wants !== 'code' && (kept || wants === 'password')) return passwords.take(text);
  return askCode(scene, text, echo, memory);
}

async function passwordAndCode(
  scene: Scene,
  text: string,
  passwords: Passwords,
  memory: InteractiveMemory,
): Promise<Secret | null> {
  const code = await nextCode(scene, memory);
  const password = code === null ? null : await passwords.take(text);
  return password === null || code === null ? null : new Secret(password.reveal() + code.reveal());
}

/** Never a stored one; what is typed is kept in its place. */
async function askNewPassword(
  scene: Scene,
  text: string,
  passwords: Passwords,
  memory: InteractiveMemory,
): Promise<Secret | null> {
  const asked = await ask(scene, {
    kind: 'password',
    text,
    echo: false,
    fromServer: true,
    tries: memory.refusals,
  });
  if (asked.kind === 'answer') {
    memory.typed = true;
    memory.changed = true;
    passwords.changed(asked.secret);
    return asked.secret;
  }
  if (asked.kind === 'declined') memory.declined = true;
  else noteMissingPassword(scene, text, mustChange);
  return null;
}

/** What is not a password is not kept: a login that needed it is attended (SPEC 3). */
async function askCode(
  scene: Scene,
  text: string,
  echo: boolean,
  memory: InteractiveMemory,
): Promise<Secret | null> {
  const asked = await ask(scene, { kind: 'prompt', text, echo, fromServer: true, tries: memory.refusals });
  if (asked.kind === 'answer') {
    memory.typed = true;
    scene.notes.typedCode = true;
    return asked.secret;
  }
  if (asked.kind === 'declined') memory.declined = true;
  else noteMissingAnswer(scene, text);
  return null;
}

export function noteMissingAnswer(scene: Scene, text: string): void {
  const { host, notes } = scene;
  if (notes.obstacles.some(({ question }) => question?.kind === 'prompt')) return;
  const known =
    host.totp === null ? '; or totp: keychain under the host, for codes that an app would show' : '';
  notes.obstacles.push({
    code: 'SECRET_MISSING',
    why: `the server asks "${text}", and nobody is here to answer`,
    hint: [{ command: 'up', on: { host: host.name } }, ` on a terminal${known}`],
    question: { kind: 'prompt', text },
    decisive: true,
  });
}
