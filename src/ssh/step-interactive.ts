// The keyboard-interactive step (RFC 4256): rounds of the server's questions, answered from sources where they fit, else asked.
import { asTunnelError } from '../errors.ts';
import { cleanBanner, cleanText } from '../model/clean.ts';
import { formatLogin } from '../model/host.ts';
import { Secret } from '../model/secret.ts';
import { parseTotp, totpCode } from '../secrets/totp.ts';
import { interactiveRequest } from './auth-requests.ts';
import type { Prompt } from './internals-auth.ts';
import { ask, begin, readSource, remark, settle, type Scene, type StepEnd } from './login-scene.ts';
import type { Passwords } from './passwords.ts';

/** How far the sources of one login were used for answers. */
export interface InteractiveMemory {
  totpSpent: boolean;
  /** A person answered in the round trips under way. */
  typed: boolean;
  /** Rounds with a person's answers that the server refused, on this connection. */
  refusals: number;
  declined: boolean;
}

const mostRounds = 30;
const mostPrompts = 20;

/** What a prompt looks like it wants: text is all a server gives. */
const codeWords =
  /\b(?:code|otp|token|verification|authenticator|passcode|2fa|mfa|factor|pin)\b|one[- ]time/i;
const passwordWords =
  /pass(?:word|phrase)|passwort|kennwort|mot de passe|contrase|senha|wachtwoord|парол|密码|パスワード/i;

/** A server that has an expired password changed asks for the new one like for any other (PAM). */
const newPasswordWords = /\b(?:new|retype|re-enter|repeat|confirm)\b.*pass|neues? (?:pass|kenn)wort/i;

export function looksLikeCode(text: string): boolean {
  return codeWords.test(text);
}

export async function answerQuestions(
  scene: Scene,
  passwords: Passwords,
  memory: InteractiveMemory,
): Promise<StepEnd> {
  begin(scene, 'keyboard-interactive');
  memory.typed = false;
  let reply = await scene.wire.request('keyboard-interactive', interactiveRequest(scene.host.user));
  for (let round = 0; reply.kind === 'questions' && round < mostRounds; round += 1) {
    const words = cleanBanner(
      [reply.name, reply.instruction].filter((text) => text.trim() !== '').join('\n'),
    );
    if (words !== '') scene.context.banner(words);
    if (reply.prompts.length > mostPrompts) {
      remark(scene, `keyboard-interactive: the server asks ${reply.prompts.length} questions at once`);
      scene.current = null;
      return { kind: 'skipped' };
    }
    const answers: string[] = [];
    for (const prompt of reply.prompts) {
      const answer = await answerOne(scene, prompt, passwords, memory);
      if (answer === null) {
        scene.current = null;
        passwords.putBack();
        return { kind: memory.declined || passwords.declined ? 'stop' : 'skipped' };
      }
      answers.push(answer.reveal());
    }
    reply = await scene.wire.respond(answers);
  }
  if (reply.kind !== 'success' && reply.kind !== 'failure') return { kind: 'skipped' };
  const taken = reply.kind === 'success' || reply.partial;
  passwords.judge(taken);
  if (!taken && memory.typed) {
    memory.refusals += 1;
    scene.notes.secretRefused = true;
  }
  settle(scene, reply);
  return reply;
}

async function answerOne(
  scene: Scene,
  prompt: Prompt,
  passwords: Passwords,
  memory: InteractiveMemory,
): Promise<Secret | null> {
  const text = cleanText(prompt.prompt) || 'Answer';
  if (!prompt.echo && newPasswordWords.test(text)) return askNewPassword(scene, text, passwords, memory);
  const code = looksLikeCode(text);
  const totpReady = scene.host.totp !== null && !memory.totpSpent;
  if (totpReady && (code || (!prompt.echo && !passwordWords.test(text) && !passwords.stored()))) {
    const answer = await totpAnswer(scene, memory);
    if (answer !== null) return answer;
  }
  if (!prompt.echo && !code && (passwords.stored() || passwordWords.test(text))) return passwords.take(text);
  return askCode(scene, text, prompt.echo, memory);
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
    passwords.changed(asked.secret);
    return asked.secret;
  }
  if (asked.kind === 'declined') memory.declined = true;
  else noteMissingAnswer(scene, text);
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
    hint: `tunnel up ${host.name} on a terminal${known}`,
    question: { kind: 'prompt', text },
    decisive: true,
  });
}

/** A code of this moment. One that was used already is not sent again: the next one is waited for. */
async function totpAnswer(scene: Scene, memory: InteractiveMemory): Promise<Secret | null> {
  const { host, remembered } = scene;
  if (host.totp === null) return null;
  memory.totpSpent = true;
  const source = host.totp.from === 'prompt' ? null : await readSource(scene, host.totp, 'totp');
  if (source === null) return null;
  return remembered.inTurn(`code ${formatLogin(host)}`, () => freshCode(scene, source));
}

async function freshCode(scene: Scene, source: Secret): Promise<Secret | null> {
  const { host, notes, parts, remembered } = scene;
  try {
    const parameters = parseTotp(source);
    let now = parts.clock.now();
    let current = totpCode(parameters, now);
    if (now + current.expiresInMs <= remembered.codeEnd(host)) {
      await wait(scene, current.expiresInMs);
      now = Math.max(parts.clock.now(), now + current.expiresInMs);
      current = totpCode(parameters, now);
    }
    remembered.keepCodeEnd(host, now + current.expiresInMs);
    return new Secret(current.code);
  } catch (error) {
    const { message, hint } = asTunnelError(error);
    notes.obstacles.push({ code: 'SECRET_MISSING', why: message, hint, question: null, decisive: true });
    return null;
  }
}

function wait(scene: Scene, delayMs: number): Promise<void> {
  const { context, parts } = scene;
  return new Promise((resolve) => {
    const end = (): void => {
      cancel();
      context.signal.removeEventListener('abort', end);
      resolve();
    };
    const cancel = parts.clock.schedule(Math.max(0, delayMs), end);
    context.signal.addEventListener('abort', end);
  });
}
