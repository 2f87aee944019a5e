// Prompts of a server (RFC 4256): what each wants, by its words, which are all that a server gives. Pure.
import { cleanBanner, cleanText } from '../../model/clean.ts';

export type Wanted = 'password' | 'old-password' | 'new-password' | 'code' | 'password-and-code' | 'unknown';

export interface ReadPrompt {
  /** Lines in front of the question, clean: OpenSSH puts what a PAM module tells there. Empty when there are none. */
  readonly before: string;
  /** The question itself, one clean line. */
  readonly text: string;
  readonly wants: Wanted;
}

const codeWords =
  /\b(?:code|otp|token|verification|authenticator|passcode|2fa|mfa|factor|pin)\b|one[- ]time/i;
/** Words that are not ASCII stand in a string: built, all that runs is ASCII (build.mjs). */
const foreignPasswordWords = ['парол', '密码', 'パスワード'].join('|');
const passwordWords = new RegExp(
  `pass(?:word|phrase)|passwort|kennwort|mot de passe|contrase|senha|wachtwoord|${foreignPasswordWords}`,
  'i',
);

/** A server that has an expired password changed asks for the old and the new one like for any other (pam_unix). */
const newPasswordWords = /\b(?:new|retype|re-enter|repeat|confirm)\b.*pass|neues? (?:pass|kenn)wort/i;
const oldPasswordWords = /\b(?:current|old|existing)\b.*pass|(?:altes|aktuelles) (?:pass|kenn)wort/i;

/** Both in one answer, the code behind the password (forward_pass of pam_google_authenticator). */
const bothWords =
  /\bpass(?:word|phrase)\s*(?:&|\+|and|with|followed by)\s.*\b(?:code|otp|token|pin|passcode)\b/i;

/** Longer than any question of a PAM module; more is not what somebody can be asked. */
const longestQuestion = 200;

/** Only the last line counts: what stands above may be about anything, such as a welcome that speaks of passwords. */
export function readPrompt(prompt: string): ReadPrompt {
  const lines = cleanBanner(prompt, Number.POSITIVE_INFINITY).split('\n');
  const last = lines.findLastIndex((line) => /[\p{L}\p{N}]/u.test(line));
  const question = lines.splice(Math.max(0, last)).join(' ');
  const whole = Array.from(cleanText(question));
  const text = whole.slice(0, longestQuestion).join('') + (whole.length > longestQuestion ? ' …' : '');
  return { before: cleanBanner(lines.join('\n')), text: text || 'Answer', wants: wantedBy(text) };
}

function wantedBy(text: string): Wanted {
  if (newPasswordWords.test(text)) return 'new-password';
  if (bothWords.test(text)) return 'password-and-code';
  if (codeWords.test(text)) return 'code';
  if (oldPasswordWords.test(text)) return 'old-password';
  return passwordWords.test(text) ? 'password' : 'unknown';
}
