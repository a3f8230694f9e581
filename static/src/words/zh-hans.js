// Words of every page.
import words from "../strings/zh-hans.json";

window.shuyuanWords = words;
