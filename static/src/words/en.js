// Words of every page.
import words from "../strings/en.json";

window.shuyuanWords = words;
