// Globs: * ? and [abc] over one text, as selectors and algorithm lists use them. Pure.

/** `*` stands for any run, `?` for one character, `[abc]` for one of them. Never exponential, whatever the pattern. */
export function globMatches(pattern: string, text: string): boolean {
  let at = 0;
  let next = 0;
  let star = -1;
  let mark = 0;
  const steps = globSteps(pattern);
  while (next < text.length) {
    const step = steps[at];
    if (step === '*') {
      star = at++;
      mark = next;
    } else if (step !== undefined && step(text.charAt(next))) {
      at++;
      next++;
    } else if (star >= 0) {
      at = star + 1;
      next = ++mark;
    } else return false;
  }
  while (steps[at] === '*') at++;
  return at === steps.length;
}

type Step = '*' | ((character: string) => boolean);

function globSteps(pattern: string): Step[] {
  const steps: Step[] = [];
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern.charAt(at);
    const close = character === '[' ? pattern.indexOf(']', at + 2) : -1;
    if (character === '*') {
      if (steps.at(-1) !== '*') steps.push('*');
    } else if (character === '?') steps.push(() => true);
    else if (close > 0) {
      steps.push(oneOf(pattern.slice(at + 1, close)));
      at = close;
    } else steps.push((other) => other === character);
  }
  return steps;
}

function oneOf(inside: string): (character: string) => boolean {
  const negated = inside.startsWith('!') || inside.startsWith('^');
  const set = negated ? inside.slice(1) : inside;
  const ranges: [string, string][] = [];
  for (let at = 0; at < set.length; at++) {
    const from = set.charAt(at);
    const ranged = set.charAt(at + 1) === '-' && at + 2 < set.length;
    ranges.push([from, ranged ? set.charAt(at + 2) : from]);
    if (ranged) at += 2;
  }
  return (character) => ranges.some(([from, to]) => character >= from && character <= to) !== negated;
}
