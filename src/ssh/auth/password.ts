// The password step (RFC 4252 8): sends one password, and changes it when the server asks for that.
import { cleanBanner } from '../../model/clean.ts';
import { formatLogin } from '../../model/host.ts';
import type { Secret } from '../../model/secret.ts';
import { passwordRequest } from './requests.ts';
import { ask, begin, remark, settle, type Scene, type StepEnd } from './login-scene.ts';
import { mustChange, noteMissingPassword, tellPasswordChanged, type Passwords } from './passwords.ts';

export async function offerPassword(scene: Scene, passwords: Passwords): Promise<StepEnd> {
  const password = await passwords.take(null);
  if (password === null) return { kind: passwords.declined ? 'stop' : 'skipped' };
  begin(scene, 'password');
  const body = passwordRequest(scene.host.user, password.reveal(), null);
  const reply = await scene.wire.request('password', body);
  if (reply.kind === 'change-password') return change(scene, passwords, password, reply.prompt);
  return judged(scene, passwords, reply);
}

function judged(scene: Scene, passwords: Passwords, reply: { kind: string }): StepEnd {
  const end = reply as StepEnd;
  if (end.kind !== 'success' && end.kind !== 'failure') {
    scene.current = null; // a reply that has no place here
    return { kind: 'skipped' };
  }
  passwords.judge(end.kind === 'success' || end.partial);
  settle(scene, end);
  return end;
}

const mostRounds = 3;

/** The password is right but must be renewed now. The server says why, again when the new one does not please it. */
async function change(scene: Scene, passwords: Passwords, old: Secret, first: string): Promise<StepEnd> {
  let words = first;
  scene.current = null; // the old one was right, and is neither accepted nor refused
  for (let round = 0; round < mostRounds; round += 1) {
    if (words !== '') scene.context.banner(cleanBanner(words));
    const fresh = await askNew(scene, round);
    if (fresh === 'stop') return { kind: 'stop' };
    if (fresh === null) return { kind: 'skipped' };
    passwords.changed(fresh);
    begin(scene, 'changed password');
    const body = passwordRequest(scene.host.user, old.reveal(), fresh.reveal());
    const reply = await scene.wire.request('password', body);
    if (reply.kind !== 'change-password') {
      const end = judged(scene, passwords, reply);
      if (end.kind === 'success' || (end.kind === 'failure' && end.partial)) tellPasswordChanged(scene);
      return end;
    }
    words = reply.prompt;
  }
  remark(scene, `the server did not take the new password ${mostRounds} times`);
  return { kind: 'stop' };
}

/** A new password, typed twice the same; null when nobody is there, 'stop' when the person declined. */
async function askNew(scene: Scene, round: number): Promise<Secret | 'stop' | null> {
  const login = formatLogin(scene.host);
  for (let tries = round; ; tries += 1) {
    const typed: Secret[] = [];
    for (const text of [`New password for ${login}`, `New password for ${login}, once more`]) {
      const asked = await ask(scene, { kind: 'password', text, echo: false, fromServer: false, tries });
      if (asked.kind === 'nobody') {
        noteMissingPassword(scene, text, mustChange);
        return null;
      }
      if (asked.kind === 'declined') return 'stop';
      typed.push(asked.secret);
    }
    const [one, other] = typed;
    if (one !== undefined && other !== undefined && one.equals(other)) return one;
  }
}
