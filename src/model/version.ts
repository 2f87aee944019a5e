// The version of this program: what --version prints and supervisors tell each other. A test holds it equal to package.json.

export const version = '0.1.0';
